// Runs a fuzz target without libFuzzer: on every file of a corpus folder and on a fixed set of
// mutations of each, the same in every run. A crash, an exception or a sanitizer's report fails the
// test; the last line printed then names the input.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace looplm {
namespace {

namespace fs = std::filesystem;

constexpr int kMutations = 1000;  // of each file; all targets together stay below a few seconds

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Text and numbers at which parsers go wrong.
const std::vector<std::string>& tokens() {
  static const std::vector<std::string> all = {"0",
                                               "-1",
                                               "1e999",
                                               "18446744073709551615",
                                               "9223372036854775807",
                                               "4294967296",
                                               "null",
                                               "true",
                                               "\"\"",
                                               "[]",
                                               "{}",
                                               "[[[[[[[[",
                                               "\\u0000",
                                               "\\ud800",
                                               "\xff\xfe",
                                               "\"",
                                               ",",
                                               "}",
                                               "../../",
                                               "\n"};
  return all;
}

// One small change of a kind that the generator picks.
void mutate(std::string& input, Rng& rng) {
  const auto place = [&](size_t extra) {
    return rng.below(static_cast<uint32_t>(input.size() + extra));
  };
  if (input.empty()) {
    input += tokens()[rng.below(static_cast<uint32_t>(tokens().size()))];
    return;
  }
  switch (rng.below(7)) {
    case 0:  // flip a bit
      input[place(0)] ^= static_cast<char>(1 << rng.below(8));
      return;
    case 1:  // set a byte
      input[place(0)] = static_cast<char>(rng.below(256));
      return;
    case 2:  // cut off the end
      input.resize(place(0));
      return;
    case 3: {  // remove a stretch
      const size_t begin = place(0);
      input.erase(begin, 1 + rng.below(16));
      return;
    }
    case 4: {  // repeat a stretch
      const size_t begin = place(0);
      const std::string stretch = input.substr(begin, 1 + rng.below(64));
      input.insert(begin, stretch);
      return;
    }
    case 5:  // insert a token
      input.insert(place(1), tokens()[rng.below(static_cast<uint32_t>(tokens().size()))]);
      return;
    default: {  // replace a number, where there is one, by a token
      const size_t digit = input.find_first_of("0123456789", place(0));
      if (digit == std::string::npos) return;
      const size_t end = std::min(input.find_first_not_of("0123456789", digit), input.size());
      input.replace(digit, end - digit,
                    tokens()[rng.below(static_cast<uint32_t>(tokens().size()))]);
      return;
    }
  }
}

// In memory of exactly its size, so that AddressSanitizer sees a read one byte too far.
void run(const std::string& input) {
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

int replay(const fs::path& corpus) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(corpus)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "no files in %s\n", corpus.c_str());
    return 1;
  }
  for (size_t file = 0; file < files.size(); ++file) {
    const std::string seed = read(files[file]);
    std::printf("%s\n", files[file].filename().c_str());
    std::fflush(stdout);
    run(seed);
    Rng rng(1, file);
    for (int i = 0; i < kMutations; ++i) {
      std::string input = seed;
      const uint32_t changes = 1 + rng.below(4);
      for (uint32_t change = 0; change < changes; ++change) mutate(input, rng);
      run(input);
    }
  }
  std::printf("%zu files, %d mutations each\n", files.size(), kMutations);
  return 0;
}

}  // namespace
}  // namespace looplm

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  try {
    return looplm::replay(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "exception: %s\n", error.what());
    return 1;
  }
}
