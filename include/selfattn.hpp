/*
 * selfattn.h for C++17, header-only: what fails throws selfattn::error, what is owned is freed, and nothing is kept that the C
 * functions do not keep. A name here is that of the C function without its prefix; selfattn.h says what each one does.
 *
 *   Views     (mat, mat_mut, weights) point to the caller's numbers, as std::span does.
 *   Scratch   is one object for as many calls as you like, one after the other: it grows to what the largest needs.
 *   Owners    (threads, packed_weights, kv_cache, encoder, tokenizer) can be moved and not copied.
 *   Threads   const functions may be called side by side, each thread with scratch of its own.
 *
 * License: MIT or Apache-2.0.
 */
#ifndef SELFATTN_HPP
#define SELFATTN_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "selfattn.h"

namespace selfattn {

/* What was wrong with a call: the fields of selfattn_error. The call has written nothing. */
class error : public std::runtime_error {
public:
    explicit error(const selfattn_error &detail) : std::runtime_error(detail.message), detail_(detail) {}

    /* A selfattn_status. */
    std::int32_t status() const noexcept { return detail_.status; }
    /* The argument or field at fault, as selfattn.h spells it; empty if there is none. */
    const char *argument() const noexcept { return detail_.argument; }
    std::uint64_t index() const noexcept { return detail_.index; }
    std::uint64_t expected(std::size_t i = 0) const noexcept { return i < 2 ? detail_.expected[i] : 0; }
    std::uint64_t got(std::size_t i = 0) const noexcept { return i < 2 ? detail_.got[i] : 0; }

private:
    selfattn_error detail_;
};

namespace detail {

/* function(arguments..., &error), thrown if it fails. */
template <class... Parameters, class... Arguments>
void call(std::int32_t (*function)(Parameters...), Arguments... arguments) {
    selfattn_error error = selfattn_error_init();
    if (function(arguments..., &error) != SELFATTN_OK) {
        throw selfattn::error(error);
    }
}

/* Refuses a vector that is too short for its shape, which the C functions could not see. */
inline void fits(const char *argument, std::size_t needed, std::size_t got) {
    if (got >= needed) {
        return;
    }
    selfattn_error error = selfattn_error_init();
    error.status = SELFATTN_ERROR_SHAPE;
    error.expected[0] = needed;
    error.got[0] = got;
    std::strncpy(error.argument, argument, sizeof error.argument - 1);
    const std::string message = std::string(argument) + ": the vector has too few elements";
    std::strncpy(error.message, message.c_str(), sizeof error.message - 1);
    throw selfattn::error(error);
}

inline std::size_t area(std::size_t rows, std::size_t cols) {
    return cols != 0 && rows > SIZE_MAX / cols ? SIZE_MAX : rows * cols;
}

} // namespace detail

/* SELFATTN_VERSION of the library that is linked. */
inline std::uint32_t version() noexcept { return selfattn_version(); }

/* ---- What operations run on --------------------------------------------------------------------------------------------- */

/* Threads of the library's own. */
class threads {
public:
    /* So many, the caller's among them. */
    explicit threads(std::size_t count = std::thread::hardware_concurrency()) : count_(count != 0 ? count : 1) {
        selfattn_threads *created = nullptr;
        detail::call(selfattn_threads_create, count_, &created);
        handle_.reset(created);
    }

    selfattn_threads *get() const noexcept { return handle_.get(); }
    std::size_t count() const noexcept { return count_; }

private:
    struct destroy {
        void operator()(selfattn_threads *handle) const noexcept { selfattn_threads_destroy(handle); }
    };
    std::size_t count_;
    std::unique_ptr<selfattn_threads, destroy> handle_;
};

/* A level and a way to run tasks side by side: as it is, the current level and the calling thread. */
class engine {
public:
    engine() = default;

    engine &level(selfattn_level level) noexcept {
        raw_.level = level;
        return *this;
    }

    /* The pool is to live as long as the engine. */
    engine &run_on(const threads &pool) noexcept { return run_on(selfattn_threads_run, pool.get(), pool.count()); }

    /* A pool of your own, as selfattn_run describes it. */
    engine &run_on(selfattn_run run, void *context, std::size_t tasks) noexcept {
        raw_.threads = tasks;
        raw_.run = run;
        raw_.context = context;
        return *this;
    }

    const selfattn_engine *get() const noexcept { return &raw_; }

private:
    selfattn_engine raw_ = selfattn_engine_init();
};

/* Memory for the calls that need some on the way. */
class scratch {
public:
    void *at_least(std::size_t bytes) {
        if (memory_.size() < bytes) {
            memory_.resize(bytes);
        }
        return memory_.data();
    }
    std::size_t size() const noexcept { return memory_.size(); }

private:
    std::vector<unsigned char> memory_;
};

/* ---- Matrices ----------------------------------------------------------------------------------------------------------- */

/* The bits of a number of 16 bits. */
struct f16 {
    std::uint16_t bits;
};
struct bf16 {
    std::uint16_t bits;
};

template <class Number>
struct dtype_of;
template <>
struct dtype_of<float> {
    static constexpr selfattn_dtype value = SELFATTN_F32;
};
template <>
struct dtype_of<f16> {
    static constexpr selfattn_dtype value = SELFATTN_F16;
};
template <>
struct dtype_of<bf16> {
    static constexpr selfattn_dtype value = SELFATTN_BF16;
};

/* A matrix that is read, row-major; 0 as the stride: rows without gaps. */
class mat {
public:
    template <class Number>
    mat(const Number *data, std::size_t rows, std::size_t cols, std::size_t stride = 0) noexcept
        : raw_(selfattn_mat_init(data, dtype_of<Number>::value, rows, cols)) {
        raw_.stride = stride;
    }

    template <class Number>
    mat(const std::vector<Number> &data, std::size_t rows, std::size_t cols) : mat(data.data(), rows, cols) {
        detail::fits("mat", detail::area(rows, cols), data.size());
    }

    const selfattn_mat *get() const noexcept { return &raw_; }

private:
    selfattn_mat raw_;
};

/* A matrix of floats that is written. */
class mat_mut {
public:
    mat_mut(float *data, std::size_t rows, std::size_t cols, std::size_t stride = 0) noexcept
        : raw_(selfattn_mat_mut_init(data, rows, cols)) {
        raw_.stride = stride;
    }

    mat_mut(std::vector<float> &data, std::size_t rows, std::size_t cols) : mat_mut(data.data(), rows, cols) {
        detail::fits("mat_mut", detail::area(rows, cols), data.size());
    }

    const selfattn_mat_mut *get() const noexcept { return &raw_; }

private:
    selfattn_mat_mut raw_;
};

/* ---- Matrix times weights ----------------------------------------------------------------------------------------------- */

/* Weights of a linear layer as they stand: n outputs of k inputs. */
class weights {
public:
    template <class Number>
    weights(const Number *data, std::size_t n, std::size_t k, selfattn_order order = SELFATTN_OUT_IN,
            std::size_t stride = 0) noexcept
        : raw_(selfattn_weights_init(data, dtype_of<Number>::value, order, n, k)) {
        raw_.stride = stride;
    }

    template <class Number>
    weights(const std::vector<Number> &data, std::size_t n, std::size_t k, selfattn_order order = SELFATTN_OUT_IN)
        : weights(data.data(), n, k, order) {
        detail::fits("weights", detail::area(n, k), data.size());
    }

    const selfattn_weights *get() const noexcept { return &raw_; }

private:
    friend class packed_weights;
    explicit weights(const selfattn_weights &raw) noexcept : raw_(raw) {}
    selfattn_weights raw_;
};

/* Weights packed once for an engine's level, so that no product has to; usable wherever weights are. */
class packed_weights {
public:
    explicit packed_weights(const weights &plain, const engine &on = engine()) : view_(selfattn_weights{}) {
        std::size_t bytes = 0;
        detail::call(selfattn_packed_bytes, on.get(), plain.get(), &bytes);
        memory_.resize(bytes);
        detail::call(selfattn_pack, on.get(), plain.get(), memory_.data(), bytes, &view_.raw_);
    }
    packed_weights(packed_weights &&) noexcept = default;
    packed_weights &operator=(packed_weights &&) noexcept = default;

    operator const weights &() const noexcept { return view_; }

private:
    std::vector<unsigned char> memory_;
    weights view_;
};

/* What is done to a product before it is stored: activation(product + bias) + residual. */
class epilogue {
public:
    epilogue() = default;

    epilogue &bias(const float *data, std::size_t n) noexcept {
        raw_.bias = data;
        raw_.bias_len = n;
        return *this;
    }
    epilogue &bias(const std::vector<float> &data) noexcept { return bias(data.data(), data.size()); }

    /* The view is to live until the call. */
    epilogue &residual(const mat &view) noexcept {
        raw_.residual = view.get();
        return *this;
    }
    epilogue &activation(selfattn_activation activation) noexcept {
        raw_.activation = activation;
        return *this;
    }

    const selfattn_epilogue *get() const noexcept { return &raw_; }

private:
    selfattn_epilogue raw_ = selfattn_epilogue_init();
};

/* out = activation(a w + bias) + residual. */
inline void matmul(const mat &a, const weights &w, const mat_mut &out, scratch &memory, const epilogue &then = epilogue(),
                   const engine &on = engine()) {
    std::size_t bytes = 0;
    detail::call(selfattn_matmul_scratch, on.get(), a.get()->rows, a.get()->dtype, w.get(), &bytes);
    detail::call(selfattn_matmul, on.get(), a.get(), w.get(), then.get(), out.get(), memory.at_least(bytes), bytes);
}

/* y = w x. */
inline void gemv(const weights &w, const std::vector<float> &x, std::vector<float> &y, const engine &on = engine()) {
    detail::call(selfattn_gemv, on.get(), w.get(), x.data(), x.size(), y.data(), y.size());
}

/* Softmax of every row, in place. */
inline void softmax(const mat_mut &x, const engine &on = engine()) { detail::call(selfattn_softmax, on.get(), x.get()); }

/* ---- Attention ---------------------------------------------------------------------------------------------------------- */

/* What attention computes. Vectors are to live until the call. */
class attention_options {
public:
    attention_options(std::size_t heads, std::size_t head_dim) noexcept : raw_(selfattn_attention_init(heads, head_dim)) {}

    attention_options &kv_heads(std::size_t heads) noexcept { return set(raw_.kv_heads, heads, 0); }
    attention_options &value_dim(std::size_t dim) noexcept { return set(raw_.value_dim, dim, 0); }
    attention_options &key_block(std::size_t keys) noexcept { return set(raw_.key_block, keys, 0); }
    attention_options &softcap(float cap) noexcept { return set(raw_.softcap, cap, 0); }
    attention_options &scale(float factor) noexcept { return set(raw_.scale, factor, SELFATTN_SCALE); }
    attention_options &window_left(std::size_t keys) noexcept { return set(raw_.window_left, keys, SELFATTN_WINDOW_LEFT); }
    attention_options &window_right(std::size_t keys) noexcept { return set(raw_.window_right, keys, SELFATTN_WINDOW_RIGHT); }
    attention_options &query_offset(std::size_t at) noexcept { return set(raw_.query_offset, at, SELFATTN_QUERY_OFFSET); }

    attention_options &causal(bool on = true) noexcept {
        raw_.flags = on ? raw_.flags | SELFATTN_CAUSAL : raw_.flags & ~std::uint32_t{SELFATTN_CAUSAL};
        return *this;
    }

    attention_options &packed_sequences(const std::vector<std::size_t> &lengths) noexcept {
        raw_.sequences = SELFATTN_PACKED_SEQUENCES;
        return array(raw_.lengths, raw_.lengths_len, lengths);
    }
    attention_options &padded_sequences(const std::vector<std::size_t> &lengths) noexcept {
        raw_.sequences = SELFATTN_PADDED_SEQUENCES;
        return array(raw_.lengths, raw_.lengths_len, lengths);
    }
    attention_options &offset_sequences(const std::vector<std::size_t> &queries,
                                        const std::vector<std::size_t> &keys) noexcept {
        raw_.sequences = SELFATTN_OFFSET_SEQUENCES;
        array(raw_.key_offsets, raw_.key_offsets_len, keys);
        return array(raw_.lengths, raw_.lengths_len, queries);
    }

    /* Strides of sequence, head, query and key. */
    attention_options &bias(const std::vector<float> &bias, const std::size_t (&strides)[4]) noexcept {
        std::memcpy(raw_.bias_strides, strides, sizeof raw_.bias_strides);
        return array(raw_.bias, raw_.bias_len, bias);
    }
    attention_options &mask(const std::vector<std::uint8_t> &mask, const std::size_t (&strides)[4]) noexcept {
        std::memcpy(raw_.mask_strides, strides, sizeof raw_.mask_strides);
        return array(raw_.mask, raw_.mask_len, mask);
    }
    attention_options &alibi(const std::vector<float> &slopes) noexcept { return array(raw_.alibi, raw_.alibi_len, slopes); }
    attention_options &sinks(const std::vector<float> &logits) noexcept { return array(raw_.sinks, raw_.sinks_len, logits); }

    const selfattn_attention_options *get() const noexcept { return &raw_; }

private:
    template <class Field>
    attention_options &set(Field &field, Field value, std::uint32_t flag) noexcept {
        field = value;
        raw_.flags |= flag;
        return *this;
    }
    template <class Number>
    attention_options &array(const Number *&data, std::size_t &len, const std::vector<Number> &of) noexcept {
        data = of.data();
        len = of.size();
        return *this;
    }

    selfattn_attention_options raw_;
};

namespace detail {

inline std::size_t attention_bytes(const attention_options &options, const engine &on) {
    std::size_t bytes = 0;
    call(selfattn_attention_scratch, on.get(), options.get(), &bytes);
    return bytes;
}

inline void attend(const attention_options &options, const mat &q, const mat &k, const mat &v, const mat_mut &out,
                   const selfattn_mat_mut *lse, scratch &memory, const engine &on) {
    const std::size_t bytes = attention_bytes(options, on);
    call(selfattn_attention, on.get(), options.get(), q.get(), k.get(), v.get(), out.get(), lse, memory.at_least(bytes), bytes);
}

} // namespace detail

/* out = softmax(q k^T) v, for each head of each sequence. */
inline void attention(const attention_options &options, const mat &q, const mat &k, const mat &v, const mat_mut &out,
                      scratch &memory, const engine &on = engine()) {
    detail::attend(options, q, k, v, out, nullptr, memory, on);
}

/* And the logarithm of each query's sum of exponentials. */
inline void attention_lse(const attention_options &options, const mat &q, const mat &k, const mat &v, const mat_mut &out,
                          const mat_mut &lse, scratch &memory, const engine &on = engine()) {
    detail::attend(options, q, k, v, out, lse.get(), memory, on);
}

/* Makes of two results over different keys the one over all of them, in `out` and `lse`. */
inline void attention_merge(const mat_mut &out, const mat_mut &lse, const mat &other_out, const mat &other_lse,
                            const engine &on = engine()) {
    detail::call(selfattn_attention_merge, on.get(), out.get(), lse.get(), other_out.get(), other_lse.get());
}

/* Keys and values of the tokens so far. */
class kv_cache {
public:
    struct shape {
        std::size_t kv_heads;
        std::size_t head_dim;
        std::size_t capacity;                /* tokens */
        std::size_t value_dim = 0;           /* 0: head_dim */
        selfattn_dtype dtype = SELFATTN_F32; /* how it stores */
        bool is_ring = false;                /* when it is full, it forgets the oldest tokens */
    };

    explicit kv_cache(const shape &of) {
        raw_.kv_heads = of.kv_heads;
        raw_.head_dim = of.head_dim;
        raw_.value_dim = of.value_dim;
        raw_.capacity = of.capacity;
        raw_.dtype = of.dtype;
        raw_.is_ring = of.is_ring ? 1 : 0;
        detail::call(selfattn_kv_bytes, &raw_, &raw_.memory_bytes);
        memory_ = std::make_unique<unsigned char[]>(raw_.memory_bytes); /* aligned for every number */
        raw_.memory = memory_.get();
    }
    kv_cache(kv_cache &&other) noexcept : raw_(std::exchange(other.raw_, selfattn_kv{})), memory_(std::move(other.memory_)) {}
    kv_cache &operator=(kv_cache &&other) noexcept {
        std::swap(raw_, other.raw_);
        std::swap(memory_, other.memory_);
        return *this;
    }

    /* Tokens in it. */
    std::size_t size() const noexcept { return raw_.len; }
    void clear() noexcept { raw_.first = raw_.len = 0; }
    /* Forgets all but the oldest `tokens`. */
    void truncate(std::size_t tokens) noexcept { raw_.len = tokens < raw_.len ? tokens : raw_.len; }
    void append(const mat &k, const mat &v) { detail::call(selfattn_kv_append, &raw_, k.get(), v.get()); }

    /* Attention over its tokens; the last row of q is that of the last one. */
    void attend(const attention_options &options, const mat &q, const mat_mut &out, scratch &memory,
                const engine &on = engine()) const {
        attend(options, q, out, nullptr, memory, on);
    }
    /* And the logarithm of each query's sum of exponentials. */
    void attend_lse(const attention_options &options, const mat &q, const mat_mut &out, const mat_mut &lse, scratch &memory,
                    const engine &on = engine()) const {
        attend(options, q, out, lse.get(), memory, on);
    }

private:
    void attend(const attention_options &options, const mat &q, const mat_mut &out, const selfattn_mat_mut *lse, scratch &memory,
                const engine &on) const {
        const std::size_t bytes = detail::attention_bytes(options, on);
        detail::call(selfattn_attention_cached, on.get(), options.get(), q.get(), &raw_, out.get(), lse, memory.at_least(bytes),
                     bytes);
    }

    selfattn_kv raw_{};
    std::unique_ptr<unsigned char[]> memory_;
};

/* ---- Encoder and tokenizer ---------------------------------------------------------------------------------------------- */

/* Sequences of token ids, one after the other. */
class batch {
public:
    batch() = default;
    explicit batch(const std::vector<std::uint32_t> &ids) { add(ids); }

    batch &add(const std::vector<std::uint32_t> &ids) {
        ids_.insert(ids_.end(), ids.begin(), ids.end());
        lengths_.push_back(ids.size());
        return *this;
    }
    std::size_t sequences() const noexcept { return lengths_.size(); }
    std::size_t tokens() const noexcept { return ids_.size(); }

    selfattn_batch get() const noexcept {
        return selfattn_batch_init(ids_.data(), ids_.size(), lengths_.data(), lengths_.size());
    }

private:
    std::vector<std::uint32_t> ids_;
    std::vector<std::size_t> lengths_;
};

/* BERT, MiniLM, RoBERTa, DistilBERT and their kin. */
class encoder {
public:
    /* Of a folder with config.json and model.safetensors. */
    static encoder open(const std::string &folder) {
        encoder opened;
        selfattn_encoder *handle = nullptr;
        detail::call(selfattn_encoder_open, folder.c_str(), &handle);
        opened.handle_.reset(handle);
        detail::call(selfattn_encoder_config, opened.get(), &opened.config_);
        return opened;
    }

    /* Of the bytes of both, of which the weights stay the caller's, as long as the encoder lives. */
    static encoder borrow(std::string_view config_json, const void *weights, std::size_t weights_bytes) {
        encoder created;
        selfattn_encoder *handle = nullptr;
        detail::call(selfattn_config_parse, config_json.data(), config_json.size(), &created.config_);
        detail::call(selfattn_encoder_create, &created.config_, weights, weights_bytes, &handle);
        created.handle_.reset(handle);
        return created;
    }

    const selfattn_config &config() const noexcept { return config_; }

    /* Packs the weights for the engine's level, the only one that it runs at from then on. Some memory, much time saved. */
    void pack(const engine &on = engine()) {
        std::size_t bytes = 0;
        detail::call(selfattn_encoder_packed_bytes, on.get(), get(), &bytes);
        std::vector<unsigned char> memory(bytes);
        detail::call(selfattn_encoder_pack, on.get(), get(), memory.data(), bytes);
        packed_ = std::move(memory);
    }

    /* Sentence vectors of length 1, sequences x hidden_size. */
    std::vector<float> embed(const batch &of, scratch &memory, const engine &on = engine()) const {
        return run(selfattn_encoder_embed, of, of.sequences(), memory, on);
    }

    /* Token vectors, tokens x hidden_size. */
    std::vector<float> forward(const batch &of, scratch &memory, const engine &on = engine()) const {
        return run(selfattn_encoder_forward, of, of.tokens(), memory, on);
    }

    selfattn_encoder *get() const noexcept { return handle_.get(); }

private:
    encoder() = default;

    template <class Function>
    std::vector<float> run(Function function, const batch &of, std::size_t rows, scratch &memory, const engine &on) const {
        const selfattn_batch raw = of.get();
        std::vector<float> out(rows * config_.hidden_size);
        const mat_mut to(out, rows, config_.hidden_size);
        std::size_t bytes = 0;
        detail::call(selfattn_encoder_scratch, on.get(), get(), of.tokens(), &bytes);
        detail::call(function, on.get(), get(), &raw, to.get(), memory.at_least(bytes), bytes);
        return out;
    }

    struct destroy {
        void operator()(selfattn_encoder *handle) const noexcept { selfattn_encoder_destroy(handle); }
    };
    selfattn_config config_ = selfattn_config_init();
    std::vector<unsigned char> packed_; /* outlives the handle, which points into it */
    std::unique_ptr<selfattn_encoder, destroy> handle_;
};

/* Text to token ids, in libraries built with capi-tokenizer. */
class tokenizer {
public:
    /* Of a folder with tokenizer.json. */
    static tokenizer open(const std::string &folder) {
        selfattn_tokenizer *handle = nullptr;
        detail::call(selfattn_tokenizer_open, folder.c_str(), &handle);
        return tokenizer(handle);
    }

    /* Of the bytes of a tokenizer.json. */
    static tokenizer parse(std::string_view json) {
        selfattn_tokenizer *handle = nullptr;
        detail::call(selfattn_tokenizer_create, json.data(), json.size(), &handle);
        return tokenizer(handle);
    }

    /* The ids of a text in UTF-8, at most so many (give the model's max_positions): of a longer one the end is left out. */
    std::vector<std::uint32_t> encode(std::string_view text, std::size_t most) const {
        std::vector<std::uint32_t> ids(most);
        std::size_t count = 0, *whole = nullptr;
        detail::call(selfattn_tokenizer_encode, handle_.get(), text.data(), text.size(), ids.data(), most, &count, whole);
        ids.resize(count);
        return ids;
    }

private:
    explicit tokenizer(selfattn_tokenizer *handle) noexcept : handle_(handle) {}
    struct destroy {
        void operator()(selfattn_tokenizer *handle) const noexcept { selfattn_tokenizer_destroy(handle); }
    };
    std::unique_ptr<selfattn_tokenizer, destroy> handle_;
};

} // namespace selfattn

#endif
