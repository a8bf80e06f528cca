/* What one writes without a library: the plain loops, in f32, to be compared with. */

#include <stddef.h>

float expf(float);
float erff(float);
float sqrtf(float);

/* c = a b^T + bias: a is m x k, b n x k, c m x n; no bias if it is null. */
void naive_matmul(const float *a, const float *b, const float *bias, float *c, size_t m, size_t k, size_t n)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float sum = bias ? bias[j] : 0.0f;
            for (size_t p = 0; p < k; p++)
                sum += a[i * k + p] * b[j * k + p];
            c[i * n + j] = sum;
        }
}

/* softmax(q k^T / sqrt(d)) v, head by head; q, k, v and out are tokens x (heads * d), scores is as long as there are tokens. */
void naive_attention(const float *q, const float *k, const float *v, float *out, float *scores, size_t tokens, size_t heads,
                     size_t d)
{
    size_t width = heads * d;
    float scale = 1.0f / sqrtf((float)d);
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < tokens; i++) {
            float max = -1e30f, sum = 0.0f;
            for (size_t j = 0; j < tokens; j++) {
                float dot = 0.0f;
                for (size_t p = 0; p < d; p++)
                    dot += q[i * width + h * d + p] * k[j * width + h * d + p];
                scores[j] = dot * scale;
                if (scores[j] > max)
                    max = scores[j];
            }
            for (size_t j = 0; j < tokens; j++) {
                scores[j] = expf(scores[j] - max);
                sum += scores[j];
            }
            for (size_t p = 0; p < d; p++) {
                float mean = 0.0f;
                for (size_t j = 0; j < tokens; j++)
                    mean += scores[j] * v[j * width + h * d + p];
                out[i * width + h * d + p] = mean / sum;
            }
        }
}

static void layer_norm(float *x, const float *weight, const float *bias, float eps, size_t rows, size_t n)
{
    for (size_t i = 0; i < rows; i++, x += n) {
        float mean = 0.0f, variance = 0.0f;
        for (size_t j = 0; j < n; j++)
            mean += x[j];
        mean /= n;
        for (size_t j = 0; j < n; j++)
            variance += (x[j] - mean) * (x[j] - mean);
        float inverse = 1.0f / sqrtf(variance / n + eps);
        for (size_t j = 0; j < n; j++)
            x[j] = (x[j] - mean) * inverse * weight[j] + bias[j];
    }
}

static void add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

struct sizes {
    size_t vocab, positions, types, hidden, inner, layers, heads;
    float eps;
};

/* The next n floats of the weights. */
static const float *take(const float **weights, size_t n)
{
    const float *taken = *weights;
    *weights += n;
    return taken;
}

/* The mean of a BERT's last hidden states, of length 1. Weights are f32 in the order in which they are taken here; memory is
   tokens * (5 * hidden + inner + 1) floats. */
void naive_encoder(const struct sizes *s, const float *w, const unsigned *ids, size_t tokens, float *vector, float *memory)
{
    size_t h = s->hidden, n = tokens * h;
    float *x = memory, *q = x + n, *k = q + n, *v = k + n, *y = v + n, *wide = y + n, *scores = wide + tokens * s->inner;
    const float *words = take(&w, s->vocab * h), *positions = take(&w, s->positions * h), *types = take(&w, s->types * h);
    for (size_t i = 0; i < tokens; i++)
        for (size_t j = 0; j < h; j++)
            x[i * h + j] = words[ids[i] * h + j] + positions[i * h + j] + types[j];
    const float *scale = take(&w, h), *shift = take(&w, h);
    layer_norm(x, scale, shift, s->eps, tokens, h);
    for (size_t layer = 0; layer < s->layers; layer++) {
        float *projections[] = {q, k, v};
        for (int p = 0; p < 3; p++) {
            const float *weight = take(&w, h * h), *bias = take(&w, h);
            naive_matmul(x, weight, bias, projections[p], tokens, h, h);
        }
        naive_attention(q, k, v, y, scores, tokens, s->heads, h / s->heads);
        const float *weight = take(&w, h * h), *bias = take(&w, h);
        naive_matmul(y, weight, bias, q, tokens, h, h);
        add(x, q, n);
        scale = take(&w, h), shift = take(&w, h);
        layer_norm(x, scale, shift, s->eps, tokens, h);
        weight = take(&w, s->inner * h), bias = take(&w, s->inner);
        naive_matmul(x, weight, bias, wide, tokens, h, s->inner);
        for (size_t i = 0; i < tokens * s->inner; i++)
            wide[i] = 0.5f * wide[i] * (1.0f + erff(wide[i] * 0.70710678f));
        weight = take(&w, h * s->inner), bias = take(&w, h);
        naive_matmul(wide, weight, bias, q, tokens, s->inner, h);
        add(x, q, n);
        scale = take(&w, h), shift = take(&w, h);
        layer_norm(x, scale, shift, s->eps, tokens, h);
    }
    float norm = 0.0f;
    for (size_t j = 0; j < h; j++) {
        vector[j] = 0.0f;
        for (size_t i = 0; i < tokens; i++)
            vector[j] += x[i * h + j];
        norm += vector[j] * vector[j];
    }
    for (size_t j = 0; j < h; j++)
        vector[j] /= sqrtf(norm);
}
