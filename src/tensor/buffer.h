// Owned, aligned, zeroed memory for weights, activations and caches.
#ifndef LOOPLM_TENSOR_BUFFER_H_
#define LOOPLM_TENSOR_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

namespace looplm {

// Cache-line aligned. Blocks of 2 MiB and more are placed on 2 MiB boundaries and offered to
// transparent huge pages: streaming a multi-gigabyte weight through 4 KiB pages costs a page walk
// every 64 lines. Throws std::bad_alloc when memory is out.
std::byte* allocate_aligned(size_t bytes);
// What allocate_aligned(bytes) takes of the machine's memory.
size_t allocated_bytes(size_t bytes);
void free_aligned(std::byte* data, size_t bytes);

template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(size_t count)
      : data_(reinterpret_cast<T*>(allocate_aligned(count * sizeof(T)))), size_(count) {}
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { free_aligned(reinterpret_cast<std::byte*>(data_), size_ * sizeof(T)); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  std::span<T> span() { return {data_, size_}; }
  std::span<const T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace looplm

#endif  // LOOPLM_TENSOR_BUFFER_H_
