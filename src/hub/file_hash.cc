#include "hub/file_hash.h"

#include <array>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/check.h"

namespace looplm {

struct FileHash::Digest {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Digest() = default;
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  ~Digest() { EVP_MD_CTX_free(context); }
};

FileHash::FileHash(std::string_view expected, uint64_t size) : digest_(std::make_unique<Digest>()) {
  const bool sha256 = expected.size() == 64;
  const int begun =
      EVP_DigestInit_ex(digest_->context, sha256 ? EVP_sha256() : EVP_sha1(), nullptr);
  LOOPLM_CHECK(begun == 1, "OpenSSL has no {}", sha256 ? "SHA-256" : "SHA-1");
  if (sha256) return;
  const std::string head = fmt::format("blob {}", size);
  add({head.c_str(), head.size() + 1});
}

FileHash::FileHash(FileHash&&) noexcept = default;
FileHash& FileHash::operator=(FileHash&&) noexcept = default;
FileHash::~FileHash() = default;

void FileHash::add(std::string_view bytes) {
  EVP_DigestUpdate(digest_->context, bytes.data(), bytes.size());
}

std::string FileHash::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> value{};
  unsigned size = 0;
  EVP_DigestFinal_ex(digest_->context, value.data(), &size);
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", value[i]);
  return text;
}

}  // namespace looplm
