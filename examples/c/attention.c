/* Attention of three words over each other: the smallest program. */
#include <selfattn.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    /* Two dimensions; the third word is like the first. */
    const float words[6] = {1.0f, 0.0f, 0.0f, 1.0f, 0.9f, 0.1f};
    float out[6];
    const selfattn_mat x = selfattn_mat_init(words, SELFATTN_F32, 3, 2);
    const selfattn_mat_mut y = selfattn_mat_mut_init(out, 3, 2);
    selfattn_attention_options options = selfattn_attention_init(1, 2); /* one head of two dimensions */
    selfattn_error error = selfattn_error_init();
    size_t bytes = 0;
    void *scratch = NULL;

    options.flags = SELFATTN_SCALE;
    options.scale = 4.0f;
    if (selfattn_attention_scratch(NULL, &options, &bytes, &error) == SELFATTN_OK && (scratch = malloc(bytes)) != NULL) {
        selfattn_attention(NULL, &options, &x, &x, &x, &y, NULL, scratch, bytes, &error);
    }
    free(scratch);
    if (scratch == NULL || error.status != SELFATTN_OK) {
        fprintf(stderr, "attention: %s\n", error.status == SELFATTN_OK ? "no memory" : error.message);
        return 1;
    }
    for (size_t i = 0; i < 3; i++) {
        printf("%.3f %.3f\n", out[2 * i], out[2 * i + 1]);
    }
    return 0;
}
