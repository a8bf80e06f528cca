/* What a library must survive from C: bad_calls MODEL_FOLDER. Each bad call has to be refused with its status and the name of the
 * argument, and to leave every output as it was; then eight threads use one model at once, and get the same bits as one.
 *
 * Needs a library built with capi,rayon,capi-tokenizer. Made to run under AddressSanitizer and UBSan: arrays that are read or
 * written by mistake stand in blocks of their own. */
#include <pthread.h>
#include <selfattn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 4, COLS = 8, OUTS = 6, UNTOUCHED = 0xA5, THREADS = 8, ROUNDS = 20, MOST = 64 };

static int failures = 0;
static int calls = 0;

/* Whether `status` and what is in `error` are these; the error is made ready for the next call. */
static void refused(int line, int32_t status, int32_t wanted, const char *argument, selfattn_error *error) {
    calls++;
    if (status != wanted || error->status != wanted || strcmp(error->argument, argument) != 0 || error->message[0] == '\0') {
        fprintf(stderr, "line %d: status %d, \"%s\" at fault (%s), not status %d and \"%s\"\n", line, (int)status,
                error->argument, error->message, (int)wanted, argument);
        failures++;
    }
    *error = selfattn_error_init();
}

static void holds(int line, int condition, const char *text) {
    calls++;
    if (!condition) {
        fprintf(stderr, "line %d: not so: %s\n", line, text);
        failures++;
    }
}

#define REFUSED(wanted, argument, ...) refused(__LINE__, (__VA_ARGS__), SELFATTN_ERROR_##wanted, argument, &error)
#define HOLDS(...) holds(__LINE__, (__VA_ARGS__), #__VA_ARGS__)

static void *block(size_t bytes) {
    void *memory = malloc(bytes);
    if (memory == NULL) {
        fprintf(stderr, "no memory\n");
        exit(2);
    }
    memset(memory, UNTOUCHED, bytes);
    return memory;
}

static float *numbers(size_t count) {
    float *to = block(count * sizeof *to);
    for (size_t i = 0; i < count; i++) {
        to[i] = (float)((i * 7 + 3) % 11) / 11.0f - 0.5f;
    }
    return to;
}

/* Whether nothing has been written here since `block`. */
static int untouched(const void *memory, size_t bytes) {
    const unsigned char *at = memory;
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] != UNTOUCHED) {
            return 0;
        }
    }
    return 1;
}

static void bad_matrices(void) {
    selfattn_error error = selfattn_error_init();
    float *a = numbers(ROWS * COLS), *w = numbers(OUTS * COLS), *out = block(ROWS * OUTS * sizeof *out);
    const selfattn_mat good_a = selfattn_mat_init(a, SELFATTN_F32, ROWS, COLS);
    const selfattn_weights good_w = selfattn_weights_init(w, SELFATTN_F32, SELFATTN_OUT_IN, OUTS, COLS);
    const selfattn_mat_mut good_out = selfattn_mat_mut_init(out, ROWS, OUTS);
    selfattn_mat mat = good_a;
    selfattn_weights weights = good_w;
    selfattn_mat_mut to = good_out;
    size_t bytes = 0;
    void *scratch;

    HOLDS(selfattn_matmul_scratch(NULL, ROWS, SELFATTN_F32, &good_w, &bytes, &error) == SELFATTN_OK && bytes > 0);
    scratch = block(bytes);
#define MATMUL(A, W, OUT, BYTES) selfattn_matmul(NULL, A, W, NULL, OUT, scratch, BYTES, &error)
    REFUSED(NULL, "a", MATMUL(NULL, &good_w, &good_out, bytes));
    REFUSED(NULL, "weights", MATMUL(&good_a, NULL, &good_out, bytes));
    REFUSED(NULL, "out", MATMUL(&good_a, &good_w, NULL, bytes));
    REFUSED(SCRATCH, "scratch", MATMUL(&good_a, &good_w, &good_out, bytes - 1));
    HOLDS(selfattn_matmul(NULL, &good_a, &good_w, NULL, &good_out, scratch, 0, NULL) == SELFATTN_ERROR_SCRATCH);
    REFUSED(NULL, "scratch", selfattn_matmul(NULL, &good_a, &good_w, NULL, &good_out, NULL, bytes, &error));
    REFUSED(NULL, "bytes", selfattn_matmul_scratch(NULL, ROWS, SELFATTN_F32, &good_w, NULL, &error));
    REFUSED(ENUM, "a_dtype", selfattn_matmul_scratch(NULL, ROWS, 3, &good_w, &bytes, &error));

    /* NULL with a length. */
    mat.data = NULL;
    REFUSED(NULL, "a", MATMUL(&mat, &good_w, &good_out, bytes));
    weights.data = NULL;
    REFUSED(NULL, "weights", MATMUL(&good_a, &weights, &good_out, bytes));
    to.data = NULL;
    REFUSED(NULL, "out", MATMUL(&good_a, &good_w, &to, bytes));

    /* Sizes. */
    mat = good_a;
    mat.cols = COLS - 1;
    REFUSED(SHAPE, "weights", MATMUL(&mat, &good_w, &good_out, bytes));
    mat = good_a;
    mat.stride = COLS - 1;
    REFUSED(SHAPE, "a", MATMUL(&mat, &good_w, &good_out, bytes));
    mat = good_a;
    mat.rows = SIZE_MAX / 2;
    REFUSED(OVERFLOW, "a", MATMUL(&mat, &good_w, &good_out, bytes));
    to = good_out;
    to.rows = ROWS - 1;
    REFUSED(SHAPE, "out", MATMUL(&good_a, &good_w, &to, bytes));

    /* Enums, and fields that are not in use yet. */
    mat = good_a;
    mat.dtype = 99;
    REFUSED(ENUM, "a", MATMUL(&mat, &good_w, &good_out, bytes));
    mat = good_a;
    mat.reserved = 1;
    REFUSED(VALUE, "reserved", MATMUL(&mat, &good_w, &good_out, bytes));
    weights = good_w;
    weights.order = -1;
    REFUSED(ENUM, "order", MATMUL(&good_a, &weights, &good_out, bytes));

    /* Alignment. */
    mat = good_a;
    mat.data = (const char *)a + 1;
    mat.rows = ROWS - 1;
    to = good_out;
    to.rows = ROWS - 1;
    REFUSED(MISALIGNED, "a", MATMUL(&mat, &good_w, &to, bytes));

    /* Overlap. */
    to = good_out;
    to.data = a;
    REFUSED(OVERLAP, "out", MATMUL(&good_a, &good_w, &to, bytes));
    HOLDS(selfattn_matmul(NULL, &good_a, &good_w, NULL, &good_out, a, bytes, &error) == SELFATTN_ERROR_OVERLAP);
    error = selfattn_error_init();

    HOLDS(untouched(out, ROWS * OUTS * sizeof *out) && untouched(scratch, bytes));
    HOLDS(MATMUL(&good_a, &good_w, &good_out, bytes) == SELFATTN_OK && !untouched(out, sizeof *out));

    /* NULL without a length is an empty array. */
    mat = selfattn_mat_init(NULL, SELFATTN_F32, 0, COLS);
    to = selfattn_mat_mut_init(NULL, 0, OUTS);
    HOLDS(MATMUL(&mat, &good_w, &to, bytes) == SELFATTN_OK);
    to = selfattn_mat_mut_init(NULL, 0, 0);
    HOLDS(selfattn_softmax(NULL, &to, &error) == SELFATTN_OK);
    REFUSED(NULL, "x", selfattn_softmax(NULL, NULL, &error));
    REFUSED(SHAPE, "x", selfattn_gemv(NULL, &good_w, a, COLS - 1, out, OUTS, &error));
    REFUSED(NULL, "x", selfattn_gemv(NULL, &good_w, NULL, COLS, out, OUTS, &error));
    REFUSED(OVERLAP, "y", selfattn_gemv(NULL, &good_w, a, COLS, a, OUTS, &error));
    free(scratch);
    free(out);
    free(w);
    free(a);
}

static void bad_structs(void) {
    selfattn_error error = selfattn_error_init(), sizeless = selfattn_error_init();
    selfattn_engine engine = selfattn_engine_init();
    selfattn_config config = selfattn_config_init();
    selfattn_threads *threads = NULL;
    float *x = numbers(COLS);
    const selfattn_mat_mut rows = selfattn_mat_mut_init(x, 1, COLS);
    struct {
        selfattn_engine engine;
        unsigned char later[16];
    } newer = {selfattn_engine_init(), {0}};
    int32_t level = 0;

    sizeless.size = 0;
    HOLDS(selfattn_softmax(NULL, &rows, &sizeless) == SELFATTN_ERROR_STRUCT_SIZE && sizeless.message[0] == '\0');
    engine.size = sizeof engine - 8;
    REFUSED(STRUCT_SIZE, "engine", selfattn_softmax(&engine, &rows, &error));
    newer.engine.size = sizeof newer;
    newer.later[3] = 1;
    REFUSED(STRUCT_SIZE, "engine", selfattn_softmax(&newer.engine, &rows, &error));
    newer.later[3] = 0;
    HOLDS(selfattn_softmax(&newer.engine, &rows, &error) == SELFATTN_OK);

    engine = selfattn_engine_init();
    engine.level = 77;
    REFUSED(ENUM, "level", selfattn_softmax(&engine, &rows, &error));
    engine.level = SELFATTN_LEVEL_WASM128;
    REFUSED(LEVEL, "", selfattn_softmax(&engine, &rows, &error));
    engine = selfattn_engine_init();
    engine.threads = 2;
    REFUSED(NULL, "run", selfattn_softmax(&engine, &rows, &error));

    REFUSED(ENUM, "level", selfattn_level_set(-5, &error));
    REFUSED(NULL, "name", selfattn_level_from_name(NULL, &level, &error));
    REFUSED(LEVEL, "", selfattn_level_from_name("sse9", &level, &error));
    HOLDS(selfattn_level_name(77) == NULL && selfattn_level_is_available(77) == 0);
    HOLDS(strcmp(selfattn_status_text(-1), "unknown status") == 0);
    REFUSED(NULL, "threads", selfattn_threads_create(1, NULL, &error));
    selfattn_threads_destroy(threads);

    config.size = 4;
    REFUSED(STRUCT_SIZE, "config", selfattn_config_parse("{}", 2, &config, &error));
    config = selfattn_config_init();
    REFUSED(NULL, "json", selfattn_config_parse(NULL, 2, &config, &error));
    HOLDS(selfattn_config_parse("", 0, &config, &error) == SELFATTN_ERROR_JSON);
    error = selfattn_error_init();
    HOLDS(selfattn_config_parse("{\"model_type\": \"gpt2\"}", 22, &config, &error) == SELFATTN_ERROR_CONFIG);
    HOLDS(config.vocab_size == 0);
    free(x);
}

static void bad_attention(void) {
    selfattn_error error = selfattn_error_init();
    selfattn_attention_options options = selfattn_attention_init(2, COLS / 2);
    const selfattn_attention_options good = options;
    float *x = numbers(ROWS * COLS), *out = block(ROWS * COLS * sizeof *out);
    const selfattn_mat q = selfattn_mat_init(x, SELFATTN_F32, ROWS, COLS);
    const selfattn_mat_mut to = selfattn_mat_mut_init(out, ROWS, COLS);
    const size_t lengths[] = {1, 2};
    selfattn_kv cache = {NULL, 0, 2, COLS / 2, 0, ROWS, 0, 0, SELFATTN_F32, 0};
    const selfattn_mat row = selfattn_mat_init(x, SELFATTN_F32, 1, COLS);
    selfattn_kv broken;
    size_t bytes = 0;
    void *scratch;

    HOLDS(selfattn_attention_scratch(NULL, &options, &bytes, &error) == SELFATTN_OK);
    scratch = block(bytes);
#define ATTENTION(OPTIONS, BYTES) selfattn_attention(NULL, OPTIONS, &q, &q, &q, &to, NULL, scratch, BYTES, &error)
    REFUSED(NULL, "options", ATTENTION(NULL, bytes));
    REFUSED(SCRATCH, "scratch", ATTENTION(&options, bytes - 1));
    options.size = 12;
    REFUSED(STRUCT_SIZE, "options", ATTENTION(&options, bytes));
    options = good;
    options.flags = 1u << 31;
    REFUSED(ENUM, "flags", ATTENTION(&options, bytes));
    options = good;
    options.sequences = 9;
    REFUSED(ENUM, "sequences", ATTENTION(&options, bytes));
    options = good;
    options.heads = 3;
    options.kv_heads = 2;
    HOLDS(ATTENTION(&options, bytes) != SELFATTN_OK);
    error = selfattn_error_init();
    options = good;
    options.head_dim = COLS;
    HOLDS(ATTENTION(&options, bytes) != SELFATTN_OK);
    error = selfattn_error_init();
    options = good;
    options.sequences = SELFATTN_PACKED_SEQUENCES;
    options.lengths = lengths;
    options.lengths_len = 2;
    REFUSED(SHAPE, "lengths", ATTENTION(&options, bytes));
    options.lengths = NULL;
    REFUSED(NULL, "lengths", ATTENTION(&options, bytes));
    options = good;
    options.bias = x;
    options.bias_len = 1;
    options.bias_strides[2] = ROWS;
    options.bias_strides[3] = 1;
    REFUSED(SHAPE, "bias", ATTENTION(&options, bytes));
    options = good;
    options.alibi = x;
    options.alibi_len = 1;
    REFUSED(SHAPE, "alibi", ATTENTION(&options, bytes));
    HOLDS(untouched(out, ROWS * COLS * sizeof *out) && untouched(scratch, bytes));

    HOLDS(selfattn_kv_bytes(&cache, &cache.memory_bytes, &error) == SELFATTN_OK);
    REFUSED(NULL, "memory", selfattn_kv_append(&cache, &row, &row, &error));
    cache.memory = block(cache.memory_bytes);
    broken = cache;
    broken.memory_bytes--;
    REFUSED(SCRATCH, "memory", selfattn_kv_append(&broken, &row, &row, &error));
    broken = cache;
    broken.len = ROWS + 1;
    REFUSED(VALUE, "len", selfattn_kv_append(&broken, &row, &row, &error));
    broken = cache;
    broken.first = 1;
    REFUSED(VALUE, "first", selfattn_kv_append(&broken, &row, &row, &error));
    broken = cache;
    broken.is_ring = 2;
    REFUSED(ENUM, "is_ring", selfattn_kv_append(&broken, &row, &row, &error));
    REFUSED(NULL, "cache", selfattn_kv_append(NULL, &row, &row, &error));
    HOLDS(untouched(cache.memory, cache.memory_bytes));
    HOLDS(selfattn_kv_append(&cache, &q, &q, &error) == SELFATTN_OK && cache.len == ROWS);
    HOLDS(selfattn_kv_append(&cache, &row, &row, &error) == SELFATTN_ERROR_CAPACITY && cache.len == ROWS);
    error = selfattn_error_init();
    HOLDS(selfattn_attention_cached(NULL, &good, &row, &cache, &to, NULL, scratch, bytes, &error) == SELFATTN_ERROR_SHAPE);
    HOLDS(untouched(out, ROWS * COLS * sizeof *out));
    free(cache.memory);
    free(scratch);
    free(out);
    free(x);
}

/* The model that all threads use, and what one of them found. */
typedef struct job {
    const selfattn_encoder *encoder;
    const selfattn_tokenizer *tokenizer;
    size_t size;
    float *vector;
    selfattn_error error;
} job;

static void embed(job *job) {
    static const char text[] = "The cat sat on the mat.";
    uint32_t ids[MOST];
    size_t count = 0, bytes = 0;
    selfattn_error *error = &job->error;
    if (selfattn_tokenizer_encode(job->tokenizer, text, sizeof text - 1, ids, MOST, &count, NULL, error) == SELFATTN_OK &&
        selfattn_encoder_scratch(NULL, job->encoder, count, &bytes, error) == SELFATTN_OK) {
        const selfattn_batch batch = selfattn_batch_init(ids, count, &count, 1);
        const selfattn_mat_mut out = selfattn_mat_mut_init(job->vector, 1, job->size);
        void *scratch = block(bytes);
        selfattn_encoder_embed(NULL, job->encoder, &batch, &out, scratch, bytes, error);
        free(scratch);
    }
}

static void *embed_often(void *argument) {
    job *job = argument;
    for (int round = 0; round < ROUNDS && job->error.status == SELFATTN_OK; round++) {
        embed(job);
        /* And a call that fails, of which no other thread may hear. */
        if (selfattn_encoder_embed(NULL, job->encoder, NULL, NULL, NULL, 0, NULL) != SELFATTN_ERROR_NULL) {
            job->error.status = SELFATTN_ERROR_PANIC;
        }
    }
    return NULL;
}

static void bad_encoder(const char *folder, selfattn_encoder *encoder, selfattn_tokenizer *tokenizer) {
    selfattn_error error = selfattn_error_init();
    selfattn_config config = selfattn_config_init();
    selfattn_encoder *none = NULL;
    uint64_t zeros[64] = {0};
    uint32_t ids[2] = {0, 0};
    size_t count = 1, bytes = 0;
    float *out, *scratch;
    selfattn_batch batch;
    selfattn_mat_mut to;

    REFUSED(NULL, "encoder", selfattn_encoder_open(folder, NULL, &error));
    REFUSED(NULL, "folder", selfattn_encoder_open(NULL, &none, &error));
    HOLDS(selfattn_encoder_open("/nowhere", &none, &error) == SELFATTN_ERROR_FILE && none == NULL);
    error = selfattn_error_init();
    REFUSED(HANDLE, "encoder", selfattn_encoder_config((selfattn_encoder *)(void *)zeros, &config, &error));
    REFUSED(NULL, "encoder", selfattn_encoder_config(NULL, &config, &error));
    HOLDS(selfattn_encoder_config(encoder, &config, &error) == SELFATTN_OK);
    HOLDS(selfattn_encoder_create(&config, zeros, 7, &none, &error) == SELFATTN_ERROR_TRUNCATED && none == NULL);
    error = selfattn_error_init();
    HOLDS(selfattn_encoder_scratch(NULL, encoder, 1, &bytes, &error) == SELFATTN_OK);
    out = block(config.hidden_size * sizeof *out);
    scratch = block(bytes);
    to = selfattn_mat_mut_init(out, 1, config.hidden_size);
    batch = selfattn_batch_init(ids, 1, &count, 1);
#define EMBED(BYTES) selfattn_encoder_embed(NULL, encoder, &batch, &to, scratch, BYTES, &error)
    REFUSED(SCRATCH, "scratch", EMBED(0));
    ids[0] = UINT32_MAX;
    HOLDS(EMBED(bytes) == SELFATTN_ERROR_TOKEN && error.index == 0 && error.got[0] == UINT32_MAX);
    error = selfattn_error_init();
    ids[0] = 0;
    batch.ids_len = 2;
    HOLDS(EMBED(bytes) == SELFATTN_ERROR_SHAPE);
    error = selfattn_error_init();
    batch.size = 1;
    REFUSED(STRUCT_SIZE, "batch", EMBED(bytes));
    batch = selfattn_batch_init(NULL, 1, &count, 1);
    REFUSED(NULL, "ids", EMBED(bytes));
    HOLDS(untouched(out, config.hidden_size * sizeof *out));

    REFUSED(UTF8, "text", selfattn_tokenizer_encode(tokenizer, "\xff", 1, ids, 2, &count, NULL, &error));
    REFUSED(NULL, "text", selfattn_tokenizer_encode(tokenizer, NULL, 1, ids, 2, &count, NULL, &error));
    REFUSED(CAPACITY, "ids", selfattn_tokenizer_encode(tokenizer, "a b c", 5, ids, 0, &count, NULL, &error));
    REFUSED(NULL, "count", selfattn_tokenizer_encode(tokenizer, "a", 1, ids, 2, NULL, NULL, &error));
    REFUSED(NULL, "tokenizer", selfattn_tokenizer_encode(NULL, "a", 1, ids, 2, &count, NULL, &error));
    free(scratch);
    free(out);
}

static void many_threads(const selfattn_encoder *encoder, const selfattn_tokenizer *tokenizer) {
    pthread_t threads[THREADS];
    job jobs[THREADS + 1];
    selfattn_config config = selfattn_config_init();
    size_t bytes;

    HOLDS(selfattn_encoder_config(encoder, &config, NULL) == SELFATTN_OK);
    bytes = config.hidden_size * sizeof(float);
    for (int i = 0; i <= THREADS; i++) {
        const job of_thread = {encoder, tokenizer, config.hidden_size, block(bytes), selfattn_error_init()};
        jobs[i] = of_thread;
    }
    embed(&jobs[THREADS]);
    HOLDS(jobs[THREADS].error.status == SELFATTN_OK && !untouched(jobs[THREADS].vector, bytes));
    for (int i = 0; i < THREADS; i++) {
        HOLDS(pthread_create(&threads[i], NULL, embed_often, &jobs[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        HOLDS(pthread_join(threads[i], NULL) == 0);
        HOLDS(jobs[i].error.status == SELFATTN_OK && memcmp(jobs[i].vector, jobs[THREADS].vector, bytes) == 0);
    }
    for (int i = 0; i <= THREADS; i++) {
        free(jobs[i].vector);
    }
}

int main(int argc, char **argv) {
    selfattn_error error = selfattn_error_init();
    selfattn_encoder *encoder = NULL;
    selfattn_tokenizer *tokenizer = NULL;

    if (argc != 2) {
        fprintf(stderr, "usage: bad_calls MODEL_FOLDER\n");
        return 2;
    }
    bad_matrices();
    bad_structs();
    bad_attention();
    HOLDS(selfattn_encoder_open(argv[1], &encoder, &error) == SELFATTN_OK);
    HOLDS(selfattn_tokenizer_open(argv[1], &tokenizer, &error) == SELFATTN_OK);
    if (encoder != NULL && tokenizer != NULL) {
        bad_encoder(argv[1], encoder, tokenizer);
        many_threads(encoder, tokenizer);
    }
    selfattn_tokenizer_destroy(tokenizer);
    selfattn_encoder_destroy(encoder);
    printf("%d checks, %d failed; %d threads on one model\n", calls, failures, THREADS);
    return failures == 0 ? 0 : 1;
}
