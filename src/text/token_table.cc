#include <bit>
#include <cstring>

#include "base/check.h"
#include "text/bpe.h"

namespace looplm {
namespace {

constexpr uint64_t kOdd = 0x9E3779B97F4A7C15ULL;

uint64_t mix(uint64_t x) {
  x *= kOdd;
  return x ^ x >> 32;
}

uint64_t hash_bytes(std::string_view bytes) {
  uint64_t hash = bytes.size();
  while (bytes.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), 8);
    hash = mix(hash ^ word);
    bytes.remove_prefix(8);
  }
  uint64_t word = 0;
  if (!bytes.empty()) std::memcpy(&word, bytes.data(), bytes.size());
  return mix(mix(hash ^ word));
}

}  // namespace

void TokenTable::reserve(size_t tokens, size_t bytes) {
  spans_.reserve(tokens);
  blob_.reserve(bytes);
  grow(std::bit_ceil(tokens * 2 + 16));
}

void TokenTable::grow(size_t slots) {
  slots_.assign(slots, -1);
  used_ = 0;
  for (size_t id = 0; id < spans_.size(); ++id) {
    if (!spans_[id].found) continue;
    const std::string_view token = bytes(static_cast<int32_t>(id));
    size_t slot = hash_bytes(token) & (slots - 1);
    bool known = false;
    while (slots_[slot] >= 0 && !known) {
      known = bytes(slots_[slot]) == token;
      slot = (slot + 1) & (slots - 1);
    }
    if (known) continue;
    slots_[slot] = static_cast<int32_t>(id);
    ++used_;
  }
}

void TokenTable::add_unfound(int32_t id, std::string_view token) {
  LOOPLM_CHECK(id >= 0);
  if (static_cast<size_t>(id) >= spans_.size()) spans_.resize(static_cast<size_t>(id) + 1);
  spans_[static_cast<size_t>(id)] = {static_cast<uint32_t>(blob_.size()),
                                     static_cast<uint32_t>(token.size()), false};
  blob_ += token;
}

void TokenTable::add(int32_t id, std::string_view token) {
  add_unfound(id, token);
  if (token.empty()) return;
  spans_[static_cast<size_t>(id)].found = true;
  if ((used_ + 1) * 2 > slots_.size()) {
    grow(std::bit_ceil((used_ + 1) * 4));
    return;  // grow() has put every span in its slot
  }
  size_t slot = hash_bytes(token) & (slots_.size() - 1);
  for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    if (bytes(slots_[slot]) == token) return;
  }
  slots_[slot] = id;
  ++used_;
}

int32_t TokenTable::find(std::string_view token) const {
  if (slots_.empty() || token.empty()) return -1;
  size_t slot = hash_bytes(token) & (slots_.size() - 1);
  for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    if (bytes(slots_[slot]) == token) return slots_[slot];
  }
  return -1;
}

std::string_view TokenTable::bytes(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= spans_.size()) return {};
  const Span span = spans_[static_cast<size_t>(id)];
  return std::string_view(blob_).substr(span.begin, span.size);
}

MergeTable::MergeTable(size_t merges)
    : slots_(std::bit_ceil(merges * 2 + 2)), mask_(slots_.size() - 1) {}

size_t MergeTable::slot_of(uint64_t pair) const {
  size_t slot = mix(pair) & mask_;
  while (slots_[slot].pair != pair && slots_[slot].pair != Slot{}.pair) slot = (slot + 1) & mask_;
  return slot;
}

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  const uint64_t pair = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  slots_[slot_of(pair)] = {pair, merge};
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t pair = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  const Slot& slot = slots_[slot_of(pair)];
  return slot.pair == pair ? &slot.merge : nullptr;
}

}  // namespace looplm
