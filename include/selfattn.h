/*
 * selfattn: attention and transformer inference, from a microcontroller to AVX-512.
 *
 * Rules of every function, unless its comment says otherwise
 *
 *   Status    A function that can fail returns SELFATTN_OK or one of `selfattn_status`. When it fails it has written nothing but
 *             *error, which may be NULL. Nothing is thrown and nothing aborts: the library cannot panic. (A thread pool and the
 *             tokenizer rest on code of others; a panic of theirs is caught and becomes SELFATTN_ERROR_PANIC.)
 *   Arrays    come with their length beside them. NULL with length 0 is an empty array; NULL with another length is refused.
 *   Matrices  are row-major, their rows `stride` elements apart. What lies between two rows is neither read nor written.
 *   Alignment is that of the element type; the bytes of scratch and of packed weights may stand anywhere.
 *   Overlap   of what is written with any other argument is refused, counted from the first byte to the last.
 *   Ownership All memory is the caller's. Nothing is kept after a call but where its comment says so.
 *   Zero      A field that is 0 or NULL has its default, where it has one: a zeroed struct with its `size` set is ready to fill.
 *   Size      A struct whose first field is `size` may grow in later versions: set it to sizeof, or use the *_init function. A
 *             smaller, older one is accepted; a larger one if all that this library does not know is zero.
 *   Threads   There is no state but the level of `selfattn_level_set`. Calls may run side by side as long as none writes what
 *             another uses: "thread-safe" means that. An encoder or tokenizer is only read by the calls that use it.
 *
 * C99 and C++11. License: MIT or Apache-2.0.
 */
#ifndef SELFATTN_H
#define SELFATTN_H

#include <stddef.h>
#include <stdint.h>

#define SELFATTN_VERSION_MAJOR 0
#define SELFATTN_VERSION_MINOR 1
#define SELFATTN_VERSION_PATCH 0
/* The three in one number that can be compared. */
#define SELFATTN_VERSION (SELFATTN_VERSION_MAJOR * 1000000 + SELFATTN_VERSION_MINOR * 1000 + SELFATTN_VERSION_PATCH)

/*
 * A library built with another prefix (README, "From C and C++") is used with SELFATTN_PREFIX defined as that prefix, without quotes:
 * cc -DSELFATTN_PREFIX=acme_ ... Programs go on calling selfattn_...
 */
#ifdef SELFATTN_PREFIX
#define SELFATTN_JOIN_(prefix, name) prefix##name
#define SELFATTN_JOIN(prefix, name) SELFATTN_JOIN_(prefix, name)
#define SELFATTN_NAME(name) SELFATTN_JOIN(SELFATTN_PREFIX, name)
#define selfattn_attention SELFATTN_NAME(attention)
#define selfattn_attention_cached SELFATTN_NAME(attention_cached)
#define selfattn_attention_merge SELFATTN_NAME(attention_merge)
#define selfattn_attention_scratch SELFATTN_NAME(attention_scratch)
#define selfattn_config_parse SELFATTN_NAME(config_parse)
#define selfattn_encoder_bytes SELFATTN_NAME(encoder_bytes)
#define selfattn_encoder_config SELFATTN_NAME(encoder_config)
#define selfattn_encoder_create SELFATTN_NAME(encoder_create)
#define selfattn_encoder_destroy SELFATTN_NAME(encoder_destroy)
#define selfattn_encoder_embed SELFATTN_NAME(encoder_embed)
#define selfattn_encoder_forward SELFATTN_NAME(encoder_forward)
#define selfattn_encoder_open SELFATTN_NAME(encoder_open)
#define selfattn_encoder_pack SELFATTN_NAME(encoder_pack)
#define selfattn_encoder_packed_bytes SELFATTN_NAME(encoder_packed_bytes)
#define selfattn_encoder_place SELFATTN_NAME(encoder_place)
#define selfattn_encoder_scratch SELFATTN_NAME(encoder_scratch)
#define selfattn_gemv SELFATTN_NAME(gemv)
#define selfattn_kv_append SELFATTN_NAME(kv_append)
#define selfattn_kv_bytes SELFATTN_NAME(kv_bytes)
#define selfattn_level_best SELFATTN_NAME(level_best)
#define selfattn_level_current SELFATTN_NAME(level_current)
#define selfattn_level_from_name SELFATTN_NAME(level_from_name)
#define selfattn_level_is_available SELFATTN_NAME(level_is_available)
#define selfattn_level_name SELFATTN_NAME(level_name)
#define selfattn_level_set SELFATTN_NAME(level_set)
#define selfattn_matmul SELFATTN_NAME(matmul)
#define selfattn_matmul_scratch SELFATTN_NAME(matmul_scratch)
#define selfattn_pack SELFATTN_NAME(pack)
#define selfattn_packed_bytes SELFATTN_NAME(packed_bytes)
#define selfattn_softmax SELFATTN_NAME(softmax)
#define selfattn_status_text SELFATTN_NAME(status_text)
#define selfattn_threads_create SELFATTN_NAME(threads_create)
#define selfattn_threads_destroy SELFATTN_NAME(threads_destroy)
#define selfattn_threads_run SELFATTN_NAME(threads_run)
#define selfattn_tokenizer_create SELFATTN_NAME(tokenizer_create)
#define selfattn_tokenizer_destroy SELFATTN_NAME(tokenizer_destroy)
#define selfattn_tokenizer_encode SELFATTN_NAME(tokenizer_encode)
#define selfattn_tokenizer_open SELFATTN_NAME(tokenizer_open)
#define selfattn_version SELFATTN_NAME(version)
#define selfattn_version_text SELFATTN_NAME(version_text)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version ------------------------------------------------------------------------------------------------------------ */

/* SELFATTN_VERSION of the library that is linked. Thread-safe. */
uint32_t selfattn_version(void);

/* The same as text, "0.1.0": static. Thread-safe. */
const char *selfattn_version_text(void);

/* ---- Status and errors -------------------------------------------------------------------------------------------------- */

/* What functions return, as int32_t. The numbers do not change; later versions may add some. */
enum selfattn_status {
    SELFATTN_OK = 0,
    SELFATTN_ERROR_NULL = 1,              /* a pointer is NULL that must not be */
    SELFATTN_ERROR_OVERFLOW = 2,          /* a size overflows */
    SELFATTN_ERROR_SHAPE = 3,             /* an argument has the wrong size: expected[0], got[0] */
    SELFATTN_ERROR_VALUE = 4,             /* a value is out of its domain */
    SELFATTN_ERROR_ENUM = 5,              /* a number is none of an enum's, or a flag is unknown: got[0] */
    SELFATTN_ERROR_STRUCT_SIZE = 6,       /* `size` is of no version, or what this library does not know is not zero */
    SELFATTN_ERROR_MISALIGNED = 7,        /* a pointer is not aligned to expected[0] bytes */
    SELFATTN_ERROR_OVERLAP = 8,           /* what is written overlaps with another argument */
    SELFATTN_ERROR_SCRATCH = 9,           /* too little scratch or memory, in bytes: expected[0], got[0] */
    SELFATTN_ERROR_CAPACITY = 10,         /* no room for as much: expected[0], got[0] */
    SELFATTN_ERROR_LEVEL = 11,            /* the SIMD level is unknown, or this CPU does not have it */
    SELFATTN_ERROR_PACKED = 12,           /* weights packed for another level than they are run at */
    SELFATTN_ERROR_BIG_ENDIAN = 13,       /* weight files are little-endian, this CPU is not */
    SELFATTN_ERROR_HANDLE = 14,           /* a pointer to no such object, or to one that has been destroyed */
    SELFATTN_ERROR_MEMORY = 15,           /* the system gave no memory */
    SELFATTN_ERROR_TOKEN = 16,            /* token `index` has the id got[0], the vocabulary expected[0] entries */
    SELFATTN_ERROR_TOO_LONG = 17,         /* a sequence has got[0] tokens, the model takes expected[0] */
    SELFATTN_ERROR_CONFIG = 18,           /* a field of the configuration is missing or not supported */
    SELFATTN_ERROR_JSON = 19,             /* not JSON, at byte `index` */
    SELFATTN_ERROR_TRUNCATED = 20,        /* the weight file is cut off: expected[0], got[0] bytes */
    SELFATTN_ERROR_HEADER_TOO_LARGE = 21, /* the weight file claims a header of got[0] bytes: at most expected[0] */
    SELFATTN_ERROR_HEADER = 22,           /* the weight file's header is wrong at byte `index` */
    SELFATTN_ERROR_MISSING_TENSOR = 23,   /* the weight file lacks a tensor */
    SELFATTN_ERROR_UNKNOWN_TENSOR = 24,   /* tensor `index` of the weight file is none of the model's */
    SELFATTN_ERROR_TENSOR_SHAPE = 25,     /* a tensor has got[0] x got[1] elements, not expected[0] x expected[1] */
    SELFATTN_ERROR_TENSOR_TYPE = 26,      /* a tensor is not f32, f16 or bf16 */
    SELFATTN_ERROR_FILE = 27,             /* a file cannot be read */
    SELFATTN_ERROR_TOKENIZER = 28,        /* not a tokenizer.json, or a text it cannot tokenize */
    SELFATTN_ERROR_UTF8 = 29,             /* not UTF-8, at byte `index` */
    SELFATTN_ERROR_THREADS = 30,          /* the system gave no threads */
    SELFATTN_ERROR_PANIC = 31             /* a library that this one uses has panicked */
};

/* What was wrong with a call. Filled only when it fails. */
typedef struct selfattn_error {
    size_t size;          /* sizeof(selfattn_error), set by the caller */
    int32_t status;       /* selfattn_status */
    int32_t reserved;
    uint64_t index;       /* the position at fault, as the status says */
    uint64_t expected[2]; /* what was needed, as the status says */
    uint64_t got[2];
    char argument[32];    /* the argument or field at fault, as this header spells it; empty if there is none */
    char message[192];    /* one line for people, in UTF-8 */
} selfattn_error;

/* A text for a status, static; "unknown status" for others. Thread-safe. */
const char *selfattn_status_text(int32_t status);

/* ---- Level: which SIMD instructions ------------------------------------------------------------------------------------- */

enum selfattn_level {
    SELFATTN_LEVEL_CURRENT = 0, /* what selfattn_level_set was given, or else the best of this CPU */
    SELFATTN_LEVEL_SCALAR = 1,  /* portable code: every CPU has it */
    SELFATTN_LEVEL_AVX2 = 2,    /* with FMA and F16C */
    SELFATTN_LEVEL_AVX512 = 3,  /* F, BW, DQ, VL */
    SELFATTN_LEVEL_AVX512BF16 = 4,
    SELFATTN_LEVEL_AMXBF16 = 5, /* and AMX, if the operating system saves its tiles for this process: Linux, which is asked to */
    SELFATTN_LEVEL_NEON = 16,
    SELFATTN_LEVEL_NEONBF16 = 17,
    SELFATTN_LEVEL_WASM128 = 32
};

/* The best level of this CPU. Thread-safe. */
int32_t selfattn_level_best(void);

/* The level that SELFATTN_LEVEL_CURRENT stands for. With std, the environment variable SELFATTN_LEVEL=scalar|avx2|... is read
 * on the first call of anything. Thread-safe. */
int32_t selfattn_level_current(void);

/* Makes `level` the current one of the whole process; SELFATTN_LEVEL_CURRENT leaves it. Weights packed for another level have to
 * be packed again. SELFATTN_ERROR_LEVEL, _ENUM. Thread-safe, but calls that run meanwhile may take either level. */
int32_t selfattn_level_set(int32_t level, selfattn_error *error);

/* 1 if this CPU has that level, else 0. Thread-safe. */
int32_t selfattn_level_is_available(int32_t level);

/* "scalar", "avx2", "avx512", "avx512bf16", "amxbf16", "neon", "neonbf16", "wasm128", static; of SELFATTN_LEVEL_CURRENT that of the current
 * one; NULL if there is no such level. Thread-safe. */
const char *selfattn_level_name(int32_t level);

/* The level of that name, NUL-terminated. SELFATTN_ERROR_LEVEL if this CPU does not have it. Thread-safe. */
int32_t selfattn_level_from_name(const char *name, int32_t *level, selfattn_error *error);

/* ---- Engine: what an operation runs on ---------------------------------------------------------------------------------- */

/* One of the tasks of an operation. */
typedef void (*selfattn_task)(void *argument, size_t index);

/* Calls task(argument, i) exactly once for each i < tasks, side by side or not, and returns when all have returned. It must not
 * throw. */
typedef void (*selfattn_run)(void *context, size_t tasks, selfattn_task task, void *argument);

/* A level and a way to run tasks side by side. Every `engine` may be NULL: the current level, the calling thread. Results do not
 * depend on the number of threads. */
typedef struct selfattn_engine {
    size_t size;      /* sizeof(selfattn_engine) */
    size_t threads;   /* how many tasks can run side by side; 0 or 1: none, and `run` is not called */
    selfattn_run run; /* your own pool, or selfattn_threads_run */
    void *context;    /* what `run` is given */
    int32_t level;    /* selfattn_level */
    int32_t reserved; /* 0 */
} selfattn_engine;

/* Threads of the library's own. In libraries built with the feature rayon. */
typedef struct selfattn_threads selfattn_threads;

/* A pool of `count` threads, the caller's among them; 0 for one a core. *threads is to be destroyed. SELFATTN_ERROR_THREADS.
 * Thread-safe. */
int32_t selfattn_threads_create(size_t count, selfattn_threads **threads, selfattn_error *error);

/* Ends the threads. NULL is ignored. No call may be using the pool. */
void selfattn_threads_destroy(selfattn_threads *threads);

/* The `run` of an engine whose context is a selfattn_threads. Thread-safe. */
void selfattn_threads_run(void *threads, size_t tasks, selfattn_task task, void *argument);

/* ---- Matrices ----------------------------------------------------------------------------------------------------------- */

/* How a number is stored. Computation is in f32. */
enum selfattn_dtype {
    SELFATTN_F32 = 0,
    SELFATTN_F16 = 1, /* IEEE 754 binary16 */
    SELFATTN_BF16 = 2 /* the upper half of an f32 */
};

/* A matrix that is read. */
typedef struct selfattn_mat {
    const void *data; /* aligned for dtype */
    size_t rows;
    size_t cols;
    size_t stride; /* elements from row to row, at least cols; 0: cols */
    int32_t dtype; /* selfattn_dtype */
    int32_t reserved;
} selfattn_mat;

/* A matrix that is written, always f32. */
typedef struct selfattn_mat_mut {
    float *data;
    size_t rows;
    size_t cols;
    size_t stride; /* elements from row to row, at least cols; 0: cols */
} selfattn_mat_mut;

/* ---- Matrix times weights ----------------------------------------------------------------------------------------------- */

enum selfattn_order {
    SELFATTN_OUT_IN = 0, /* n x k: a row holds the weights of one output (PyTorch's Linear) */
    SELFATTN_IN_OUT = 1, /* k x n: a column holds them (ONNX's MatMul, GPT-2's Conv1D) */
    SELFATTN_PACKED = 2  /* as selfattn_pack made them */
};

/* Weights of a linear layer: n outputs of k inputs. */
typedef struct selfattn_weights {
    const void *data; /* aligned for dtype */
    size_t n;
    size_t k;
    size_t stride; /* elements from row to row as they stand; 0: no gaps. Of packed weights: all elements */
    int32_t dtype; /* selfattn_dtype */
    int32_t order; /* selfattn_order */
    int32_t level; /* of packed weights: the level they are packed for; else 0 */
    int32_t reserved;
} selfattn_weights;

enum selfattn_activation {
    SELFATTN_NO_ACTIVATION = 0,
    SELFATTN_GELU = 1,      /* x Phi(x), by erf */
    SELFATTN_GELU_TANH = 2, /* its approximation by tanh */
    SELFATTN_RELU = 3
};

/* What is done to a product before it is stored: out = activation(product + bias) + residual. */
typedef struct selfattn_epilogue {
    size_t size;                  /* sizeof(selfattn_epilogue) */
    const float *bias;            /* n long; NULL for none */
    size_t bias_len;
    const selfattn_mat *residual; /* m x n, f32; NULL for none */
    int32_t activation;           /* selfattn_activation */
    int32_t reserved;
} selfattn_epilogue;

/* Bytes of scratch that selfattn_matmul needs for m rows of type a_dtype; at most some MB a thread, 0 for f32 by packed f32.
 * The data of `weights` may be NULL. SELFATTN_ERROR_OVERFLOW, _ENUM. Thread-safe. */
int32_t selfattn_matmul_scratch(const selfattn_engine *engine, size_t m, int32_t a_dtype, const selfattn_weights *weights,
                                size_t *bytes, selfattn_error *error);

/* out = activation(a weights + bias) + residual: a is m x k, out is m x n; `epilogue` may be NULL. SELFATTN_ERROR_SHAPE,
 * _SCRATCH, _PACKED, and the rules above. Thread-safe. */
int32_t selfattn_matmul(const selfattn_engine *engine, const selfattn_mat *a, const selfattn_weights *weights,
                        const selfattn_epilogue *epilogue, const selfattn_mat_mut *out, void *scratch, size_t scratch_bytes,
                        selfattn_error *error);

/* y = weights x, without scratch: x is k long, y is n long, the weights are not packed. Faster than selfattn_matmul of one row by
 * plain weights. SELFATTN_ERROR_SHAPE, _VALUE for packed weights. Thread-safe. */
int32_t selfattn_gemv(const selfattn_engine *engine, const selfattn_weights *weights, const float *x, size_t x_len, float *y,
                      size_t y_len, selfattn_error *error);

/* Bytes that selfattn_pack needs, at the engine's level. The data of `weights` may be NULL. SELFATTN_ERROR_OVERFLOW, _VALUE.
 * Thread-safe. */
int32_t selfattn_packed_bytes(const selfattn_engine *engine, const selfattn_weights *weights, size_t *bytes,
                              selfattn_error *error);

/* Packs weights once for the engine's level, so that no product has to. *packed points into `memory`, which is to stay as it is
 * while it is used; `weights` is no longer needed. SELFATTN_ERROR_SCRATCH, _VALUE for packed weights. Thread-safe. */
int32_t selfattn_pack(const selfattn_engine *engine, const selfattn_weights *weights, void *memory, size_t memory_bytes,
                      selfattn_weights *packed, selfattn_error *error);

/* ---- Softmax ------------------------------------------------------------------------------------------------------------ */

/* Softmax of every row, in place. -inf has the weight 0; a row of nothing but -inf becomes zeros; a NaN or +inf makes its whole
 * row NaN. Thread-safe. */
int32_t selfattn_softmax(const selfattn_engine *engine, const selfattn_mat_mut *x, selfattn_error *error);

/* ---- Attention ---------------------------------------------------------------------------------------------------------- */

/* Flags of selfattn_attention_options: a field counts that 0 could not switch off. */
enum selfattn_attention_flag {
    SELFATTN_CAUSAL = 1,       /* a query sees only the keys up to its own place */
    SELFATTN_SCALE = 2,        /* `scale` counts; else 1 / sqrt(head_dim) */
    SELFATTN_WINDOW_LEFT = 4,  /* `window_left` counts; else all keys before */
    SELFATTN_WINDOW_RIGHT = 8, /* `window_right` counts; else all keys behind */
    SELFATTN_QUERY_OFFSET = 16 /* `query_offset` counts; else the last query stands at the last key */
};

/* How the rows of q, k and v divide into sequences. A query sees keys of its own sequence only. */
enum selfattn_sequences {
    SELFATTN_ONE_SEQUENCE = 0,
    SELFATTN_PACKED_SEQUENCES = 1, /* of these `lengths`, end to end; as many queries as keys */
    SELFATTN_PADDED_SEQUENCES = 2, /* lengths_len blocks of equal size; the first lengths[i] keys of block i are seen */
    SELFATTN_OFFSET_SEQUENCES = 3  /* sequence i has the queries lengths[i] .. lengths[i + 1] and the keys key_offsets[i] ..
                                      key_offsets[i + 1]; both lists rise from 0 to the number of rows */
};

/*
 * What attention computes: softmax(logits) V for each head of each sequence, where the logits are those of scale * Q K^T, then
 * capped, then biased, then masked. A query that sees no key gives zeros. Masked keys and values have no influence, whatever they
 * are. Arrays are used during the call only.
 */
typedef struct selfattn_attention_options {
    size_t size;         /* sizeof(selfattn_attention_options) */
    size_t heads;        /* of queries */
    size_t head_dim;
    size_t kv_heads;     /* of keys and values: query head h reads head h / (heads / kv_heads); 0: heads */
    size_t value_dim;    /* of a head's values; 0: head_dim */
    uint32_t flags;      /* selfattn_attention_flag */
    float scale;         /* SELFATTN_SCALE: the factor of the logits */
    float softcap;       /* logits become cap tanh(logit / cap); 0: they do not */
    int32_t sequences;   /* selfattn_sequences */
    size_t window_left;  /* SELFATTN_WINDOW_LEFT: keys seen before a query's place */
    size_t window_right; /* SELFATTN_WINDOW_RIGHT: keys seen behind it */
    size_t query_offset; /* SELFATTN_QUERY_OFFSET: the place of each sequence's first query among its keys */
    size_t key_block;    /* keys worked on at a time, at most 1024: fewer need less scratch; 0: a good number */
    const size_t *lengths;     /* as `sequences` says */
    size_t lengths_len;
    const size_t *key_offsets; /* as `sequences` says */
    size_t key_offsets_len;
    const float *bias;         /* added to the logits: of sequence s, head h, query i, key j that at s * bias_strides[0] + */
    size_t bias_len;           /* h * bias_strides[1] + i * bias_strides[2] + j * bias_strides[3]; -inf masks; NULL: none */
    size_t bias_strides[4];
    const uint8_t *mask;       /* 0 for a key that is not seen, else 1; placed as the bias is; NULL: none */
    size_t mask_len;
    size_t mask_strides[4];
    const float *alibi;        /* a slope for each head: minus slope times distance is added to the logit; NULL: none */
    size_t alibi_len;
    const float *sinks;        /* one more logit for each head, of a key without a value; NULL: none */
    size_t sinks_len;
} selfattn_attention_options;

/* Bytes of scratch that attention needs: by the head's dimensions, the level, the threads and key_block, not by the number of
 * queries or keys. SELFATTN_ERROR_VALUE, _OVERFLOW. Thread-safe. */
int32_t selfattn_attention_scratch(const selfattn_engine *engine, const selfattn_attention_options *options, size_t *bytes,
                                   selfattn_error *error);

/* q is n_q x (heads * head_dim), k is n_k x (kv_heads * head_dim), v is n_k x (kv_heads * value_dim), out is n_q x (heads *
 * value_dim). `lse` takes the logarithm of each query's sum of exponentials, n_q x heads, -inf where no key is seen; it may be
 * NULL. SELFATTN_ERROR_SHAPE, _VALUE, _SCRATCH. Thread-safe. */
int32_t selfattn_attention(const selfattn_engine *engine, const selfattn_attention_options *options, const selfattn_mat *q,
                           const selfattn_mat *k, const selfattn_mat *v, const selfattn_mat_mut *out,
                           const selfattn_mat_mut *lse, void *scratch, size_t scratch_bytes, selfattn_error *error);

/* Makes of two results over different keys the one over all of them, in `out` and `lse`. Shapes as selfattn_attention gives them;
 * a sink must be in one of them only. SELFATTN_ERROR_SHAPE. Thread-safe. */
int32_t selfattn_attention_merge(const selfattn_engine *engine, const selfattn_mat_mut *out, const selfattn_mat_mut *lse,
                                 const selfattn_mat *other_out, const selfattn_mat *other_lse, selfattn_error *error);

/* ---- Keys and values of the tokens so far ------------------------------------------------------------------------------- */

/*
 * A cache in the caller's memory. Fill in all but `first` and `len`, which are 0 and then the library's: read `len`, set both to
 * 0 to forget all tokens, lower `len` to forget the newest. It is checked at every use.
 */
typedef struct selfattn_kv {
    void *memory;        /* aligned for dtype; selfattn_kv_bytes says how long */
    size_t memory_bytes;
    size_t kv_heads;
    size_t head_dim;
    size_t value_dim;    /* 0: head_dim */
    size_t capacity;     /* tokens */
    size_t first;        /* the row of the oldest token */
    size_t len;          /* tokens in the cache */
    int32_t dtype;       /* selfattn_dtype: how it stores */
    int32_t is_ring;     /* 1: when it is full it forgets the oldest tokens; 0: it refuses new ones */
} selfattn_kv;

/* Bytes of memory for such a cache, whose memory may be NULL. SELFATTN_ERROR_VALUE, _OVERFLOW, _ENUM. Thread-safe. */
int32_t selfattn_kv_bytes(const selfattn_kv *cache, size_t *bytes, selfattn_error *error);

/* Adds tokens: k is tokens x (kv_heads * head_dim), v is tokens x (kv_heads * value_dim), both f32, rounded to the cache's type.
 * SELFATTN_ERROR_SHAPE, _CAPACITY. Thread-safe; writes the cache and its memory. */
int32_t selfattn_kv_append(selfattn_kv *cache, const selfattn_mat *k, const selfattn_mat *v, selfattn_error *error);

/* As selfattn_attention over the tokens of a cache: q is n_q x (heads * head_dim), its last row that of the last token; the
 * options have one sequence; `lse` may be NULL. SELFATTN_ERROR_SHAPE, _VALUE, _SCRATCH. Thread-safe; reads the cache. */
int32_t selfattn_attention_cached(const selfattn_engine *engine, const selfattn_attention_options *options,
                                  const selfattn_mat *q, const selfattn_kv *cache, const selfattn_mat_mut *out,
                                  const selfattn_mat_mut *lse, void *scratch, size_t scratch_bytes, selfattn_error *error);

/* ---- Encoder: BERT, MiniLM, RoBERTa, DistilBERT and their kin ----------------------------------------------------------- */

enum selfattn_family {
    SELFATTN_BERT = 0,
    SELFATTN_ROBERTA = 1, /* also XLM-RoBERTa, CamemBERT */
    SELFATTN_DISTILBERT = 2
};

/* What must be known of an encoder besides its weights. */
typedef struct selfattn_config {
    size_t size;              /* sizeof(selfattn_config) */
    int32_t family;           /* selfattn_family */
    int32_t activation;       /* selfattn_activation */
    size_t vocab_size;
    size_t hidden_size;       /* numbers that stand for a token */
    size_t layers;
    size_t heads;             /* they share hidden_size evenly */
    size_t intermediate_size;
    size_t max_positions;     /* tokens that a sequence can have */
    size_t position_offset;   /* the row of the position embeddings that the first token takes */
    size_t token_types;       /* 0 for DistilBERT */
    float norm_eps;
    int32_t reserved;
} selfattn_config;

/* Sequences of token ids, end to end, without padding. */
typedef struct selfattn_batch {
    size_t size;              /* sizeof(selfattn_batch) */
    const uint32_t *ids;
    size_t ids_len;
    const size_t *lengths;    /* of the sequences, none 0; they add up to ids_len */
    size_t lengths_len;
    const uint32_t *type_ids; /* the token type (segment) of every id; NULL: all are 0 */
    size_t type_ids_len;
} selfattn_batch;

/* An encoder: its weights bound to their places, every name and shape checked. */
typedef struct selfattn_encoder selfattn_encoder;

/* Reads a config.json of the types bert, roberta, xlm-roberta, camembert or distilbert. Set config->size before. A field at fault
 * is named as the file spells it. SELFATTN_ERROR_JSON, _CONFIG. Thread-safe. */
int32_t selfattn_config_parse(const void *json, size_t json_bytes, selfattn_config *config, selfattn_error *error);

/* Bytes of memory for selfattn_encoder_place. SELFATTN_ERROR_CONFIG, _OVERFLOW. Thread-safe. */
int32_t selfattn_encoder_bytes(const selfattn_config *config, size_t *bytes, selfattn_error *error);

/* Makes an encoder in the caller's memory from the bytes of a model.safetensors, which should be aligned to 8. *encoder uses both
 * as long as it lives; to be rid of it, stop using it. SELFATTN_ERROR_SCRATCH for too little memory, _CONFIG, _MISALIGNED, and
 * those of weight files; `memory` may have been written then. Thread-safe. */
int32_t selfattn_encoder_place(const selfattn_config *config, const void *weights, size_t weights_bytes, void *memory,
                               size_t memory_bytes, selfattn_encoder **encoder, selfattn_error *error);

/* As selfattn_encoder_place in memory of the library's own; the weights stay the caller's, as long as the encoder lives. *encoder
 * is to be destroyed. SELFATTN_ERROR_MEMORY too. Thread-safe. In libraries built with the feature alloc. */
int32_t selfattn_encoder_create(const selfattn_config *config, const void *weights, size_t weights_bytes,
                                selfattn_encoder **encoder, selfattn_error *error);

/* Reads config.json and model.safetensors of a folder (a path in UTF-8, NUL-terminated) into memory of its own. *encoder is to be
 * destroyed. SELFATTN_ERROR_FILE too. Thread-safe. In libraries built with the feature std. */
int32_t selfattn_encoder_open(const char *folder, selfattn_encoder **encoder, selfattn_error *error);

/* Frees an encoder that was created or opened; NULL and a placed one are ignored. No call may be using it. With the feature
 * alloc. */
void selfattn_encoder_destroy(selfattn_encoder *encoder);

/* The encoder's sizes. Set config->size before. Thread-safe. */
int32_t selfattn_encoder_config(const selfattn_encoder *encoder, selfattn_config *config, selfattn_error *error);

/* Bytes of memory that selfattn_encoder_pack needs, at the engine's level. SELFATTN_ERROR_OVERFLOW. Thread-safe. */
int32_t selfattn_encoder_packed_bytes(const selfattn_engine *engine, const selfattn_encoder *encoder, size_t *bytes,
                                      selfattn_error *error);

/* Packs the weights of all layers once for the engine's level, so that no product has to; from then on the encoder runs at that
 * level only, and uses `memory` as long as it lives: the faster for short texts if that is large pages (Linux: mmap, then madvise
 * with MADV_HUGEPAGE). SELFATTN_ERROR_SCRATCH. Writes the encoder: no call may be using it. */
int32_t selfattn_encoder_pack(const selfattn_engine *engine, selfattn_encoder *encoder, void *memory, size_t memory_bytes,
                              selfattn_error *error);

/* Bytes of scratch to work on `tokens` tokens at once: at least the longest sequence; more is faster up to some hundreds.
 * SELFATTN_ERROR_OVERFLOW. Thread-safe. */
int32_t selfattn_encoder_scratch(const selfattn_engine *engine, const selfattn_encoder *encoder, size_t tokens, size_t *bytes,
                                 selfattn_error *error);

/* Token vectors: the last hidden state of every token, tokens x hidden_size. SELFATTN_ERROR_TOKEN, _TOO_LONG, _SHAPE, _SCRATCH,
 * _PACKED. Thread-safe: any number of threads on one encoder, each with scratch of its own. */
int32_t selfattn_encoder_forward(const selfattn_engine *engine, const selfattn_encoder *encoder, const selfattn_batch *batch,
                                 const selfattn_mat_mut *hidden, void *scratch, size_t scratch_bytes, selfattn_error *error);

/* Sentence vectors: the mean of each sequence's last hidden states, scaled to the length 1; `out` is sequences x hidden_size.
 * Errors and threads as selfattn_encoder_forward. */
int32_t selfattn_encoder_embed(const selfattn_engine *engine, const selfattn_encoder *encoder, const selfattn_batch *batch,
                               const selfattn_mat_mut *out, void *scratch, size_t scratch_bytes, selfattn_error *error);

/* ---- Tokenizer: text to token ids. In libraries built with the feature capi-tokenizer ----------------------------------- */

typedef struct selfattn_tokenizer selfattn_tokenizer;

/* Reads the bytes of a tokenizer.json. *tokenizer is to be destroyed. SELFATTN_ERROR_TOKENIZER. Thread-safe. */
int32_t selfattn_tokenizer_create(const void *json, size_t json_bytes, selfattn_tokenizer **tokenizer, selfattn_error *error);

/* Reads tokenizer.json of a folder (a path in UTF-8, NUL-terminated). *tokenizer is to be destroyed. SELFATTN_ERROR_FILE,
 * _TOKENIZER. Thread-safe. */
int32_t selfattn_tokenizer_open(const char *folder, selfattn_tokenizer **tokenizer, selfattn_error *error);

/* Frees a tokenizer; NULL is ignored. No call may be using it. */
void selfattn_tokenizer_destroy(selfattn_tokenizer *tokenizer);

/* The ids of a text in UTF-8, special tokens around them. At most ids_len (give the model's max_positions): of a longer text the
 * end is left out, the special tokens stay. *count is the number of ids; *whole, which may be NULL, the number of the whole text:
 * more if it was cut. SELFATTN_ERROR_UTF8, _CAPACITY if there is no room for a word, _TOKENIZER. Thread-safe. */
int32_t selfattn_tokenizer_encode(const selfattn_tokenizer *tokenizer, const char *text, size_t text_bytes, uint32_t *ids,
                                  size_t ids_len, size_t *count, size_t *whole, selfattn_error *error);

#ifdef __cplusplus
}
#endif

/* ---- Structs made in one line ------------------------------------------------------------------------------------------- */

/* An error for functions to fill. */
static inline selfattn_error selfattn_error_init(void) {
    selfattn_error error = {sizeof error, 0, 0, 0, {0, 0}, {0, 0}, {0}, {0}};
    return error;
}

/* The current level, the calling thread: as NULL, to be changed. */
static inline selfattn_engine selfattn_engine_init(void) {
    selfattn_engine engine = {sizeof engine, 0, NULL, NULL, SELFATTN_LEVEL_CURRENT, 0};
    return engine;
}

/* Rows without gaps between them. */
static inline selfattn_mat selfattn_mat_init(const void *data, int32_t dtype, size_t rows, size_t cols) {
    selfattn_mat mat = {data, rows, cols, 0, dtype, 0};
    return mat;
}

/* Rows of floats without gaps between them. */
static inline selfattn_mat_mut selfattn_mat_mut_init(float *data, size_t rows, size_t cols) {
    selfattn_mat_mut mat = {data, rows, cols, 0};
    return mat;
}

/* n outputs of k inputs, SELFATTN_OUT_IN or SELFATTN_IN_OUT, without gaps. */
static inline selfattn_weights selfattn_weights_init(const void *data, int32_t dtype, int32_t order, size_t n, size_t k) {
    selfattn_weights weights = {data, n, k, 0, dtype, order, 0, 0};
    return weights;
}

/* No bias, no activation, no residual: as NULL, to be changed. */
static inline selfattn_epilogue selfattn_epilogue_init(void) {
    selfattn_epilogue epilogue = {sizeof epilogue, NULL, 0, NULL, SELFATTN_NO_ACTIVATION, 0};
    return epilogue;
}

/* Every query sees every key of one sequence. */
static inline selfattn_attention_options selfattn_attention_init(size_t heads, size_t head_dim) {
    selfattn_attention_options options = {sizeof options,
                                          heads,
                                          head_dim,
                                          0,
                                          0,
                                          0,
                                          0.0f,
                                          0.0f,
                                          SELFATTN_ONE_SEQUENCE,
                                          0,
                                          0,
                                          0,
                                          0,
                                          NULL,
                                          0,
                                          NULL,
                                          0,
                                          NULL,
                                          0,
                                          {0, 0, 0, 0},
                                          NULL,
                                          0,
                                          {0, 0, 0, 0},
                                          NULL,
                                          0,
                                          NULL,
                                          0};
    return options;
}

/* A config for functions to fill, or by hand. */
static inline selfattn_config selfattn_config_init(void) {
    selfattn_config config = {sizeof config, SELFATTN_BERT, SELFATTN_NO_ACTIVATION, 0, 0, 0, 0, 0, 0, 0, 0, 0.0f, 0};
    return config;
}

/* Sequences of token ids, all of type 0. */
static inline selfattn_batch selfattn_batch_init(const uint32_t *ids, size_t ids_len, const size_t *lengths,
                                                 size_t lengths_len) {
    selfattn_batch batch = {sizeof batch, ids, ids_len, lengths, lengths_len, NULL, 0};
    return batch;
}

#endif
