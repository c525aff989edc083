#include "infer/speculation_text.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "infer/exit_rule.h"

namespace looplm {

Result<SpeculateOptions> speculation_from_text(const std::string& text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const Result<CommitKind> kind = commit_kind_from_name(text.substr(0, colon));
  bool ok = kind.ok() && kind.value() != CommitKind::kNever;
  SpeculateOptions speculate;
  if (ok) {
    speculate = {kind.value(), commit_rule_info(kind.value()).threshold};
    if (colon < text.size()) {
      ok = speculate.kind != CommitKind::kAuto;
      const char* end = text.data() + text.size();
      const auto [stopped, error] =
          std::from_chars(text.data() + colon + 1, end, speculate.threshold);
      ok = ok && error == std::errc() && stopped == end;
    }
  }
  if (ok) return speculate;
  return invalid_argument(
      fmt::format("is '{}'; expected auto, loop:N, q:THRESHOLD or margin:THRESHOLD", text));
}

}  // namespace looplm
