// Screening: see what a looped model is about to say before anything of it is committed, and stop.
//
//   screening MODEL PROMPT FORBIDDEN
//
// A token of a looped model exists as a proposal of an early loop before the last loop has
// confirmed it. The screening callback sees every proposal first.
#include <cstdio>
#include <string>

#include "looplm/generate.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: screening MODEL PROMPT FORBIDDEN\n");
    return 2;
  }
  auto model = looplm::Model::load(argv[1]);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().message().c_str());
    return 1;
  }
  const looplm::Tokenizer* tokenizer = (*model)->tokenizer();
  if (tokenizer == nullptr) {
    std::fprintf(stderr, "%s has no tokenizer\n", argv[1]);
    return 1;
  }
  const std::string forbidden = argv[3];

  looplm::GenerateOptions options;
  options.max_tokens = 32;
  options.speculate = {looplm::CommitKind::kLoop, 1};  // proposals from the first loop on

  looplm::GenerateCallbacks callbacks;
  callbacks.screen = [&](const looplm::ProvisionalToken& token) {
    const std::string text = tokenizer->decode({&token.id, 1});
    std::printf("loop %lld proposes \"%s\"%s\n", static_cast<long long>(token.loop), text.c_str(),
                token.revision ? " instead" : "");
    if (text.find(forbidden) == std::string::npos) return true;
    std::printf("stopped before \"%s\" was committed\n", text.c_str());
    return false;
  };
  auto ids = tokenizer->encode(argv[2]);
  if (!ids.ok()) {
    std::fprintf(stderr, "%s\n", ids.status().message().c_str());
    return 1;
  }
  auto result = looplm::generate(**model, *ids, options, callbacks);
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().message().c_str());
    return 1;
  }
  std::printf("committed: \"%s\" (%s)\n", result->text.c_str(),
              looplm::finish_reason_name(result->finish_reason));
  return 0;
}
