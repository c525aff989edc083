// The name of a model on the Hugging Face hub, and where and how this machine asks for it.
#ifndef LOOPLM_HUB_HUB_REFERENCE_H_
#define LOOPLM_HUB_HUB_REFERENCE_H_

#include <optional>
#include <string>
#include <string_view>

#include "looplm/status.h"

namespace looplm {

// ORG/NAME[@REVISION][:FILE]
struct HubReference {
  std::string name;               // "ByteDance/Ouro-1.4B"
  std::string revision = "main";  // a branch, a tag, or a commit's 40 hexadecimal digits
  std::string file{};  // of a GGUF model: the file's name, or a part of it such as "Q4_K_M"

  std::string text() const;  // as it is typed
};

// None for a text that is no such name.
std::optional<HubReference> hub_reference(const std::string& text);

// Whether `text` has that many digits, 0-9 and a-f.
bool is_hex(std::string_view text, size_t digits);

struct HubSettings {
  std::string endpoint = "https://huggingface.co";
  std::string token{};  // empty: none
  std::string cache{};  // the directory that models--ORG--NAME lies in; empty: there is no home
  bool offline = false;

  // As Python's huggingface_hub reads them: HF_ENDPOINT; HF_TOKEN, else the file HF_TOKEN_PATH or
  // $HF_HOME/token; HF_HUB_CACHE, else $HF_HOME/hub; HF_HUB_OFFLINE. HF_HOME is
  // ~/.cache/huggingface, or below XDG_CACHE_HOME.
  static HubSettings from_environment();
  Status check_cache() const;  // an error if there is no place for models
};

}  // namespace looplm

#endif  // LOOPLM_HUB_HUB_REFERENCE_H_
