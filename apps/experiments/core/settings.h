// The settings of a study: a TOML file with changes.
#ifndef LOOPLM_EXPERIMENTS_CORE_SETTINGS_H_
#define LOOPLM_EXPERIMENTS_CORE_SETTINGS_H_

#include <functional>
#include <string>
#include <vector>

#include "looplm/status.h"

#include "experiments/core/study.h"

namespace looplm {

// The file's settings with the changes ("key=value", dotted keys, TOML values), as TOML text in one
// canonical form.
Result<std::string> effective_settings(const std::string& file,
                                       const std::vector<std::string>& overrides);

// Hands the text's root table to `read`. Errors: the text is no TOML, a value is wrong, a key was
// not asked for, or what `read` returns, in this order.
Status read_settings(const std::string& text, const std::string& what,
                     const std::function<Status(TomlReader&)>& read);

// Configures the study from that text. {root} and {study} in strings are replaced, which fails
// where `root` is empty: not known. Settings that the study does not know are errors; `what` names
// the source.
Status configure_study(Study& study, const std::string& settings, const std::string& root,
                       const std::string& what);

}  // namespace looplm

#endif  // LOOPLM_EXPERIMENTS_CORE_SETTINGS_H_
