// From text to sentence vectors in C++: embed_cpp FOLDER TEXT TEXT... prints how similar each text is to the first.
// FOLDER has config.json, model.safetensors and tokenizer.json. Needs a library built with capi-tokenizer.
#include <cstdio>
#include <exception>
#include <numeric>
#include <selfattn.hpp>

int main(int argc, char **argv) try {
    if (argc < 3) {
        std::fprintf(stderr, "usage: embed_cpp FOLDER TEXT...\n");
        return 2;
    }
    const auto tokenizer = selfattn::tokenizer::open(argv[1]);
    const auto encoder = selfattn::encoder::open(argv[1]);
    const std::size_t size = encoder.config().hidden_size;

    selfattn::batch batch;
    for (int i = 2; i < argc; i++) {
        batch.add(tokenizer.encode(argv[i], encoder.config().max_positions));
    }
    selfattn::scratch scratch;
    const auto vectors = encoder.embed(batch, scratch);

    // Vectors have the length 1.
    for (std::size_t i = 0; i < batch.sequences(); i++) {
        const float *vector = vectors.data() + i * size;
        std::printf("%.4f  %s\n", double(std::inner_product(vector, vector + size, vectors.data(), 0.0f)), argv[i + 2]);
    }
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "embed_cpp: %s\n", error.what());
    return 1;
}
