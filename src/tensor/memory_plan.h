// A list of named memory needs, made before anything is allocated, so that it can be shown and its
// sum checked.
#ifndef LOOPLM_TENSOR_MEMORY_PLAN_H_
#define LOOPLM_TENSOR_MEMORY_PLAN_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace looplm {

struct MemoryItem {
  std::string name;  // "weights", "kv cache (full)"
  uint64_t bytes = 0;
  std::string note;  // how the size comes about: "24 layers x 4 loops x ..."
};

class MemoryPlan {
 public:
  void add(std::string name, uint64_t bytes, std::string note = "") {
    items_.push_back({std::move(name), bytes, std::move(note)});
  }
  const std::vector<MemoryItem>& items() const { return items_; }
  uint64_t total() const {
    uint64_t sum = 0;
    for (const MemoryItem& item : items_) sum += item.bytes;
    return sum;
  }

 private:
  std::vector<MemoryItem> items_;
};

// "2.67 GiB", "768 KiB", "12 B": binary units, three digits.
std::string bytes_text(uint64_t bytes);

}  // namespace looplm

#endif  // LOOPLM_TENSOR_MEMORY_PLAN_H_
