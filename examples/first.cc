// The README's ten lines: load a model, let the gate choose the depth, print the answer.
#include <cstdio>

#include "looplm/generate.h"

int main() {
  auto model = looplm::Model::load("models/small").value();
  looplm::GenerateOptions options;
  options.max_tokens = 1;
  options.exit = {looplm::ExitKind::kGate, 0.3};
  const auto prompt = model->tokenizer()->encode("7-2*3=").value();
  std::puts(looplm::generate(*model, prompt, options).value().text.c_str());
}
