#include "tensor/buffer.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include <sys/mman.h>

namespace looplm {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;

size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

size_t allocated_bytes(size_t bytes) {
  return rounded_up(bytes, bytes < kHugePage ? kLine : kHugePage);
}

std::byte* allocate_aligned(size_t bytes) {
  if (bytes == 0) return nullptr;
  if (bytes > SIZE_MAX - kHugePage) throw std::bad_alloc();
  if (bytes < kHugePage) {
    void* data = std::aligned_alloc(kLine, allocated_bytes(bytes));
    if (data == nullptr) throw std::bad_alloc();
    std::memset(data, 0, bytes);
    return static_cast<std::byte*>(data);
  }
  // Over-map by one huge page, then give back what lies outside the aligned range. Fresh maps are
  // zero.
  const size_t size = allocated_bytes(bytes);
  if (size > SIZE_MAX - kHugePage) throw std::bad_alloc();
  void* map = ::mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) throw std::bad_alloc();
  auto* start = static_cast<std::byte*>(map);
  auto* aligned =
      reinterpret_cast<std::byte*>(rounded_up(reinterpret_cast<size_t>(start), kHugePage));
  if (aligned != start) ::munmap(start, static_cast<size_t>(aligned - start));
  const size_t tail = static_cast<size_t>(start + size + kHugePage - (aligned + size));
  if (tail > 0) ::munmap(aligned + size, tail);
  ::madvise(aligned, size, MADV_HUGEPAGE);
  return aligned;
}

void free_aligned(std::byte* data, size_t bytes) {
  if (data == nullptr) return;
  if (bytes < kHugePage) {
    std::free(data);
  } else {
    ::munmap(data, allocated_bytes(bytes));
  }
}

}  // namespace looplm
