/* From text to sentence vectors: embed FOLDER TEXT TEXT... prints how similar each text is to the first.
 * FOLDER has config.json, model.safetensors and tokenizer.json. Needs a library built with capi-tokenizer. */
#include <selfattn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct model {
    selfattn_encoder *encoder;
    selfattn_tokenizer *tokenizer;
    selfattn_config config;
} model;

/* The vector of a text: hidden_size floats, to be freed. NULL if something is wrong, which is in the error. */
static float *vector_of(const model *model, const char *text, selfattn_error *error) {
    const size_t most = model->config.max_positions, size = model->config.hidden_size;
    uint32_t *ids = malloc(most * sizeof *ids);
    float *vector = malloc(size * sizeof *vector);
    void *scratch = NULL;
    size_t count = 0, bytes = 0;
    int32_t status = SELFATTN_ERROR_MEMORY;

    if (ids != NULL && vector != NULL) {
        status = selfattn_tokenizer_encode(model->tokenizer, text, strlen(text), ids, most, &count, NULL, error);
    }
    if (status == SELFATTN_OK) {
        status = selfattn_encoder_scratch(NULL, model->encoder, count, &bytes, error);
    }
    if (status == SELFATTN_OK) {
        const selfattn_batch batch = selfattn_batch_init(ids, count, &count, 1);
        const selfattn_mat_mut out = selfattn_mat_mut_init(vector, 1, size);
        scratch = malloc(bytes);
        status = scratch == NULL ? SELFATTN_ERROR_MEMORY
                                 : selfattn_encoder_embed(NULL, model->encoder, &batch, &out, scratch, bytes, error);
    }
    free(scratch);
    free(ids);
    if (status != SELFATTN_OK) {
        free(vector);
        return NULL;
    }
    return vector;
}

int main(int argc, char **argv) {
    selfattn_error error = selfattn_error_init();
    model model = {NULL, NULL, selfattn_config_init()};
    float *first = NULL;
    int done = 2;

    if (argc < 3) {
        fprintf(stderr, "usage: embed FOLDER TEXT...\n");
        return 2;
    }
    if (selfattn_encoder_open(argv[1], &model.encoder, &error) == SELFATTN_OK &&
        selfattn_tokenizer_open(argv[1], &model.tokenizer, &error) == SELFATTN_OK &&
        selfattn_encoder_config(model.encoder, &model.config, &error) == SELFATTN_OK) {
        for (; done < argc; done++) {
            float cosine = 0.0f, *vector = vector_of(&model, argv[done], &error);
            if (vector == NULL) {
                break;
            }
            first = first == NULL ? vector : first;
            /* Vectors have the length 1. */
            for (size_t i = 0; i < model.config.hidden_size; i++) {
                cosine += first[i] * vector[i];
            }
            printf("%.4f  %s\n", (double)cosine, argv[done]);
            if (vector != first) {
                free(vector);
            }
        }
    }
    free(first);
    selfattn_tokenizer_destroy(model.tokenizer);
    selfattn_encoder_destroy(model.encoder);
    if (done < argc) {
        fprintf(stderr, "embed: %s\n", error.status == SELFATTN_OK ? "no memory" : error.message);
        return 1;
    }
    return 0;
}
