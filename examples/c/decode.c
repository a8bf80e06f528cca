/* A decoder's loop: each step appends a token's key and value to a cache and attends to all tokens so far. What the steps give is
 * compared with causal attention over all tokens at once. */
#include <math.h>
#include <selfattn.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADS = 8, KV_HEADS = 2, DIM = 32, TOKENS = 100, Q_COLS = HEADS * DIM, KV_COLS = KV_HEADS * DIM };

static float q[TOKENS * Q_COLS], k[TOKENS * KV_COLS], v[TOKENS * KV_COLS];
static float step_by_step[TOKENS * Q_COLS], at_once[TOKENS * Q_COLS];

/* Numbers that look random, the same on every run. */
static void fill(float *to, size_t count) {
    static uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (float)(state >> 8) / (float)(1u << 23) - 1.0f;
    }
}

/* Every function returns a status; what was wrong is in the error. */
static void check(int32_t status, const selfattn_error *error) {
    if (status != SELFATTN_OK) {
        fprintf(stderr, "decode: %s\n", error->message);
        exit(1);
    }
}

static void *memory_of(size_t bytes) {
    void *memory = malloc(bytes);
    if (memory == NULL) {
        fprintf(stderr, "decode: no memory\n");
        exit(1);
    }
    return memory;
}

int main(void) {
    selfattn_attention_options options = selfattn_attention_init(HEADS, DIM);
    selfattn_error error = selfattn_error_init();
    selfattn_kv cache = {NULL, 0, KV_HEADS, DIM, 0, TOKENS, 0, 0, SELFATTN_F32, 0};
    size_t scratch_bytes = 0;
    float largest = 0.0f;

    options.kv_heads = KV_HEADS;
    check(selfattn_kv_bytes(&cache, &cache.memory_bytes, &error), &error);
    check(selfattn_attention_scratch(NULL, &options, &scratch_bytes, &error), &error);
    cache.memory = memory_of(cache.memory_bytes);
    void *scratch = memory_of(scratch_bytes);
    fill(q, TOKENS * Q_COLS);
    fill(k, TOKENS * KV_COLS);
    fill(v, TOKENS * KV_COLS);

    for (size_t token = 0; token < TOKENS; token++) {
        const selfattn_mat query = selfattn_mat_init(q + token * Q_COLS, SELFATTN_F32, 1, Q_COLS);
        const selfattn_mat key = selfattn_mat_init(k + token * KV_COLS, SELFATTN_F32, 1, KV_COLS);
        const selfattn_mat value = selfattn_mat_init(v + token * KV_COLS, SELFATTN_F32, 1, KV_COLS);
        const selfattn_mat_mut out = selfattn_mat_mut_init(step_by_step + token * Q_COLS, 1, Q_COLS);
        check(selfattn_kv_append(&cache, &key, &value, &error), &error);
        check(selfattn_attention_cached(NULL, &options, &query, &cache, &out, NULL, scratch, scratch_bytes, &error),
              &error);
    }

    {
        const selfattn_mat queries = selfattn_mat_init(q, SELFATTN_F32, TOKENS, Q_COLS);
        const selfattn_mat keys = selfattn_mat_init(k, SELFATTN_F32, TOKENS, KV_COLS);
        const selfattn_mat values = selfattn_mat_init(v, SELFATTN_F32, TOKENS, KV_COLS);
        const selfattn_mat_mut out = selfattn_mat_mut_init(at_once, TOKENS, Q_COLS);
        options.flags = SELFATTN_CAUSAL;
        check(selfattn_attention(NULL, &options, &queries, &keys, &values, &out, NULL, scratch, scratch_bytes, &error), &error);
    }
    for (size_t i = 0; i < TOKENS * Q_COLS; i++) {
        largest = fmaxf(largest, fabsf(step_by_step[i] - at_once[i]));
    }
    free(scratch);
    free(cache.memory);
    printf("%d tokens, level %s: step by step differs from all at once by at most %.1e\n", TOKENS,
           selfattn_level_name(SELFATTN_LEVEL_CURRENT), (double)largest);
    return largest < 1e-5f ? 0 : 1;
}
