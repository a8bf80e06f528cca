// Every part of selfattn.hpp: wrapper MODEL_FOLDER. Results are compared with plain loops in double.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <selfattn.hpp>
#include <type_traits>

namespace {

int failures = 0;

void holds(bool condition, int line, const char *text) {
    if (!condition) {
        std::fprintf(stderr, "line %d: not so: %s\n", line, text);
        failures++;
    }
}
#define HOLDS(...) holds((__VA_ARGS__), __LINE__, #__VA_ARGS__)

// Whether the call throws an error with this status and argument.
bool throws(selfattn_status status, const std::string &argument, const std::function<void()> &call) {
    try {
        call();
    } catch (const selfattn::error &error) {
        return error.status() == status && error.argument() == argument && error.what()[0] != '\0';
    }
    return false;
}

std::vector<float> numbers(std::size_t count, unsigned state) {
    std::vector<float> to(count);
    for (float &x : to) {
        state = state * 1664525u + 1013904223u;
        x = float(state >> 8) / float(1u << 23) - 1.0f;
    }
    return to;
}

float difference(const std::vector<float> &a, const std::vector<float> &b) {
    float largest = a.size() == b.size() ? 0.0f : INFINITY;
    for (std::size_t i = 0; i < a.size() && i < b.size(); i++) {
        largest = std::fmax(largest, std::fabs(a[i] - b[i]));
    }
    return largest;
}

constexpr std::size_t m = 7, k = 20, n = 33;

std::vector<float> plain_product(const std::vector<float> &a, const std::vector<float> &w, const std::vector<float> &bias) {
    std::vector<float> out(m * n);
    for (std::size_t i = 0; i < m; i++) {
        for (std::size_t j = 0; j < n; j++) {
            double sum = double(bias[j]);
            for (std::size_t p = 0; p < k; p++) {
                sum += double(a[i * k + p]) * double(w[j * k + p]);
            }
            out[i * n + j] = float(sum);
        }
    }
    return out;
}

void products() {
    const auto a = numbers(m * k, 1), w = numbers(n * k, 2), bias = numbers(n, 3);
    const auto wanted = plain_product(a, w, bias);
    std::vector<float> out(m * n), packed_out(m * n), residual_out(m * n);
    selfattn::scratch scratch;
    const selfattn::mat rows(a, m, k);
    const selfattn::weights plain(w, n, k);
    selfattn::matmul(rows, plain, {out, m, n}, scratch, selfattn::epilogue().bias(bias));
    HOLDS(difference(out, wanted) < 1e-5f);
    selfattn::packed_weights moved_from(plain);
    const selfattn::packed_weights packed(std::move(moved_from));
    selfattn::matmul(rows, packed, {packed_out, m, n}, scratch, selfattn::epilogue().bias(bias));
    HOLDS(packed_out == out);

    const selfattn::mat residual(out, m, n);
    const auto then = selfattn::epilogue().bias(bias).activation(SELFATTN_RELU).residual(residual);
    selfattn::matmul(rows, plain, {residual_out, m, n}, scratch, then);
    for (std::size_t i = 0; i < out.size(); i++) {
        packed_out[i] = std::fmax(out[i], 0.0f) + out[i];
    }
    HOLDS(residual_out == packed_out);

    std::vector<float> x(a.begin(), a.begin() + k), y(n);
    selfattn::gemv(plain, x, y);
    for (std::size_t j = 0; j < n; j++) {
        HOLDS(std::fabs(y[j] + bias[j] - wanted[j]) < 1e-5f);
    }
    // The same bits on threads, and close at another level.
    const selfattn::threads pool(2);
    std::vector<float> other(m * n);
    selfattn::matmul(rows, plain, {other, m, n}, scratch, selfattn::epilogue().bias(bias), selfattn::engine().run_on(pool));
    HOLDS(other == out);
    const auto scalar = selfattn::engine().level(SELFATTN_LEVEL_SCALAR);
    selfattn::matmul(rows, plain, {other, m, n}, scratch, selfattn::epilogue().bias(bias), scalar);
    HOLDS(difference(other, wanted) < 1e-5f);
    const std::vector<selfattn::bf16> ones(n * k, selfattn::bf16{0x3f80});
    selfattn::matmul(rows, selfattn::weights(ones, n, k), {other, m, n}, scratch);
    HOLDS(std::fabs(other[0] - other[n - 1]) < 1e-6f);

    selfattn::softmax({out, m, n});
    for (std::size_t i = 0; i < m; i++) {
        float sum = 0.0f;
        for (std::size_t j = 0; j < n; j++) {
            sum += out[i * n + j];
        }
        HOLDS(std::fabs(sum - 1.0f) < 1e-5f);
    }
    HOLDS(throws(SELFATTN_ERROR_SHAPE, "out", [&] { selfattn::matmul(rows, plain, {other, m - 1, n}, scratch); }));
    HOLDS(throws(SELFATTN_ERROR_SHAPE, "mat", [&] { selfattn::mat(a, m + 1, k); }));
    HOLDS(throws(SELFATTN_ERROR_SHAPE, "weights", [&] { selfattn::weights(w, n, k + 1); }));
    HOLDS(throws(SELFATTN_ERROR_SHAPE, "mat_mut", [&] { selfattn::mat_mut(out, SIZE_MAX, 2); }));
}

void attention() {
    constexpr std::size_t heads = 4, kv_heads = 2, dim = 8, tokens = 12;
    const auto q = numbers(tokens * heads * dim, 4), keys = numbers(tokens * kv_heads * dim, 5);
    const auto values = numbers(tokens * kv_heads * dim, 6);
    const selfattn::mat k_rows(keys, tokens, kv_heads * dim), v_rows(values, tokens, kv_heads * dim);
    std::vector<float> causal(q.size()), cached(q.size());
    selfattn::scratch scratch;
    auto options = selfattn::attention_options(heads, dim).kv_heads(kv_heads);

    selfattn::kv_cache cache({kv_heads, dim, tokens});
    for (std::size_t token = 0; token < tokens; token++) {
        cache.append({keys.data() + token * kv_heads * dim, 1, kv_heads * dim},
                     {values.data() + token * kv_heads * dim, 1, kv_heads * dim});
        cache.attend(options, {q.data() + token * heads * dim, 1, heads * dim},
                     {cached.data() + token * heads * dim, 1, heads * dim}, scratch);
    }
    selfattn::attention(selfattn::attention_options(options).causal(), {q, tokens, heads * dim}, k_rows, v_rows,
                        {causal, tokens, heads * dim}, scratch);
    HOLDS(difference(causal, cached) < 1e-5f);
    // The first query sees the first key alone.
    for (std::size_t i = 0; i < dim; i++) {
        HOLDS(std::fabs(causal[i] - values[i]) < 1e-6f);
    }
    const selfattn::kv_cache moved(std::move(cache));
    HOLDS(moved.size() == tokens);
    std::vector<float> sums(tokens * heads), cached_sums(tokens * heads);
    options.causal();
    selfattn::attention_lse(options, {q, tokens, heads * dim}, k_rows, v_rows, {causal, tokens, heads * dim},
                            {sums, tokens, heads}, scratch);
    moved.attend_lse(options, {q, tokens, heads * dim}, {cached, tokens, heads * dim}, {cached_sums, tokens, heads}, scratch);
    HOLDS(cached == causal && cached_sums == sums);
    options.causal(false);

    // Two halves of the keys, merged.
    const std::size_t half = tokens / 2, rest = tokens - half, cols = kv_heads * dim;
    std::vector<float> all(q.size()), one(q.size()), other(q.size());
    std::vector<float> lse(tokens * heads), other_lse(tokens * heads);
    const selfattn::mat q_rows(q, tokens, heads * dim);
    selfattn::attention(options, q_rows, k_rows, v_rows, {all, tokens, heads * dim}, scratch);
    selfattn::attention_lse(options, q_rows, {keys.data(), half, cols}, {values.data(), half, cols}, {one, tokens, heads * dim},
                            {lse, tokens, heads}, scratch);
    selfattn::attention_lse(options, q_rows, {keys.data() + half * cols, rest, cols}, {values.data() + half * cols, rest, cols},
                            {other, tokens, heads * dim}, {other_lse, tokens, heads}, scratch);
    selfattn::attention_merge({one, tokens, heads * dim}, {lse, tokens, heads}, {other, tokens, heads * dim},
                              {other_lse, tokens, heads});
    HOLDS(difference(all, one) < 1e-5f);

    // A mask of all but the first key, and the window that is the same.
    std::vector<std::uint8_t> mask(tokens, 0);
    mask[0] = 1;
    selfattn::attention(selfattn::attention_options(options).mask(mask, {0, 0, 0, 1}), q_rows, k_rows, v_rows,
                        {one, tokens, heads * dim}, scratch);
    selfattn::attention(selfattn::attention_options(options), q_rows, {keys.data(), 1, cols}, {values.data(), 1, cols},
                        {other, tokens, heads * dim}, scratch);
    HOLDS(difference(one, other) < 1e-6f);
    const std::vector<std::size_t> lengths{5, 7}, too_long{5, 8};
    selfattn::attention(selfattn::attention_options(options).packed_sequences(lengths), q_rows, k_rows, v_rows,
                        {one, tokens, heads * dim}, scratch);
    HOLDS(difference(one, all) > 1e-3f);
    const auto wrong = selfattn::attention_options(options).packed_sequences(too_long);
    HOLDS(throws(SELFATTN_ERROR_SHAPE, "lengths",
                 [&] { selfattn::attention(wrong, q_rows, k_rows, v_rows, {one, tokens, heads * dim}, scratch); }));
    // A logit of its own in the denominator takes from all weights.
    const std::vector<float> sinks(heads, 50.0f);
    selfattn::attention(selfattn::attention_options(options).sinks(sinks), q_rows, k_rows, v_rows, {one, tokens, heads * dim},
                        scratch);
    HOLDS(difference(one, std::vector<float>(one.size())) < 1e-6f);

    selfattn::kv_cache small({kv_heads, dim, 1});
    HOLDS(throws(SELFATTN_ERROR_CAPACITY, "k", [&] { small.append(k_rows, v_rows); }));
    small.append({keys.data(), 1, cols}, {values.data(), 1, cols});
    small.clear();
    HOLDS(small.size() == 0);
}

std::string file(const std::string &path) {
    std::ifstream from(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(from), std::istreambuf_iterator<char>()};
}

void model(const std::string &folder) {
    auto opened = selfattn::encoder::open(folder);
    const auto tokenizer = selfattn::tokenizer::open(folder);
    const auto most = opened.config().max_positions;
    const selfattn::batch batch =
        selfattn::batch(tokenizer.encode("A cat sat down.", most)).add(tokenizer.encode("Dogs bark.", most));
    selfattn::scratch scratch;
    const auto vectors = opened.embed(batch, scratch), states = opened.forward(batch, scratch);
    HOLDS(vectors.size() == 2 * opened.config().hidden_size);
    HOLDS(states.size() == batch.tokens() * opened.config().hidden_size);
    float length = 0.0f;
    for (std::size_t i = 0; i < opened.config().hidden_size; i++) {
        length += vectors[i] * vectors[i];
    }
    HOLDS(std::fabs(length - 1.0f) < 1e-5f);

    const std::string weights = file(folder + "/model.safetensors"), tokens = file(folder + "/tokenizer.json");
    auto borrowed = selfattn::encoder::borrow(file(folder + "/config.json"), weights.data(), weights.size());
    const auto parsed = selfattn::tokenizer::parse(tokens);
    HOLDS(parsed.encode("A cat sat down.", most) == tokenizer.encode("A cat sat down.", most));
    HOLDS(parsed.encode("A cat sat down.", 4).size() == 4);
    HOLDS(borrowed.embed(batch, scratch) == vectors);
    borrowed.pack();
    const selfattn::encoder packed(std::move(borrowed));
    HOLDS(difference(packed.embed(batch, scratch), vectors) < 1e-5f);

    const selfattn::batch unknown({UINT32_MAX});
    HOLDS(throws(SELFATTN_ERROR_TOKEN, "", [&] { opened.embed(unknown, scratch); }));
    HOLDS(throws(SELFATTN_ERROR_FILE, "", [&] { selfattn::encoder::open("/nowhere"); }));
    HOLDS(throws(SELFATTN_ERROR_UTF8, "text", [&] { tokenizer.encode("\xff", most); }));
}

} // namespace

static_assert(!std::is_copy_constructible_v<selfattn::encoder> && std::is_nothrow_move_constructible_v<selfattn::encoder>);
static_assert(!std::is_copy_constructible_v<selfattn::tokenizer> && !std::is_copy_constructible_v<selfattn::threads>);
static_assert(!std::is_copy_constructible_v<selfattn::kv_cache> && std::is_nothrow_move_assignable_v<selfattn::kv_cache>);

int main(int argc, char **argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: wrapper MODEL_FOLDER\n");
        return 2;
    }
    HOLDS(selfattn::version() == SELFATTN_VERSION);
    products();
    attention();
    model(argv[1]);
    std::printf("selfattn.hpp: %d failed\n", failures);
    return failures == 0 ? 0 : 1;
}
