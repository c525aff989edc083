#include "net/http_client.h"

#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/file.h"
#include "support/scripted_server.h"
#include "support/temp_dir.h"

namespace looplm {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

TEST(Url, PartsAndDefaults) {
  const Url a = parse_url("https://api.example.org/v1/chat?x=1").value();
  EXPECT_TRUE(a.tls);
  EXPECT_EQ(a.host, "api.example.org");
  EXPECT_EQ(a.port, "443");
  EXPECT_EQ(a.target, "/v1/chat?x=1");
  const Url b = parse_url("http://[::1]:8080").value();
  EXPECT_FALSE(b.tls);
  EXPECT_EQ(b.host, "::1");
  EXPECT_EQ(b.port, "8080");
  EXPECT_EQ(b.target, "/");
  EXPECT_EQ(parse_url("http://h?q").value().target, "/?q");
}

TEST(Url, RefusalsSayWhy) {
  const auto message = [](const std::string& url) { return parse_url(url).status().message(); };
  EXPECT_THAT(message("ftp://x/"), HasSubstr("'ftp://x/': has another scheme"));
  EXPECT_THAT(message("http:///x"), HasSubstr("names no host"));
  EXPECT_THAT(message("http://h:0/"), HasSubstr("port '0'"));
  EXPECT_THAT(message("http://h:65536/"), HasSubstr("port '65536'"));
  EXPECT_THAT(message("http://h:80x/"), HasSubstr("port '80x'"));
  EXPECT_THAT(message("http://u:p@h/"), HasSubstr("names a user"));
  EXPECT_THAT(message("http://h/a b"), HasSubstr("space"));
  EXPECT_THAT(message("http://h/\r\nX: y"), HasSubstr("space"));
  EXPECT_THAT(message("http://h/#f"), HasSubstr("fragment"));
  EXPECT_THAT(message("http://[::1/"), HasSubstr("bracket"));
}

TEST(HttpClient, SendsWhatWasAskedAndReturnsAnyAnswer) {
  const ScriptedServer server([](const HttpCall& m) {
    return ScriptedAnswer{418,
                          m.method + " " + m.path + "?" + m.query + " " +
                              std::string(m.header("host")) + " " +
                              std::string(m.header("x-test")) + " " + m.body,
                          {{"X-Answer", "yes"}}};
  });
  HttpRequest request;
  request.method = "POST";
  request.url = server.url() + "/a?b=c";
  request.headers = {{"X-Test", "seven"}};
  request.body = std::string(100000, 'x');
  const HttpResponse response = http_exchange(request).value();
  EXPECT_EQ(response.status, 418);
  EXPECT_EQ(response.body, "POST /a?b=c 127.0.0.1:" + server.port() + " seven " + request.body);
  EXPECT_EQ(response.header("x-ANSWER"), "yes");
  EXPECT_EQ(response.header("absent"), "");
}

TEST(HttpClient, FailuresNameTheHostAndTheStep) {
  std::string port;
  {
    const ScriptedServer gone([](const auto&) { return ScriptedAnswer(); });
    port = gone.port();
  }
  HttpRequest request;
  request.url = "http://127.0.0.1:" + port + "/";
  const Status refused = http_exchange(request).status();
  EXPECT_EQ(refused.code(), StatusCode::kIo);
  EXPECT_THAT(refused.message(), HasSubstr("connecting to 127.0.0.1:" + port));

  const ScriptedServer hangs_up([](const auto&) { return ScriptedAnswer{.hang_up = true}; });
  request.url = hangs_up.url();
  EXPECT_THAT(http_exchange(request).status().message(),
              HasSubstr("reading the answer of 127.0.0.1:" + hangs_up.port()));

  const ScriptedServer verbose([](const auto&) { return ScriptedAnswer{200, "0123456789"}; });
  request.url = verbose.url();
  request.response_limit = 9;
  EXPECT_THAT(http_exchange(request).status().message(), HasSubstr("more than 9 bytes"));
  request.response_limit = 10;
  EXPECT_TRUE(http_exchange(request).ok());

  request.headers = {{"Authorization", "secret\r\nX: y"}};
  const Status smuggled = http_exchange(request).status();
  EXPECT_EQ(smuggled.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(smuggled.message(), HasSubstr("'Authorization'"));
  EXPECT_THAT(smuggled.message(), testing::Not(HasSubstr("secret")));
}

TEST(HttpClient, GivesUpOnSlowServersAndWhenStopped) {
  const ScriptedServer slow([](const auto&) { return ScriptedAnswer{.silent = true}; });
  HttpRequest request;
  request.url = slow.url();
  request.total_timeout = milliseconds(150);
  const Status late = http_exchange(request).status();
  EXPECT_EQ(late.code(), StatusCode::kIo);
  EXPECT_THAT(late.message(), HasSubstr("within 150 ms"));

  std::atomic<bool> stop = false;
  request.total_timeout = milliseconds(60'000);
  request.stop = &stop;
  std::thread later([&] {
    std::this_thread::sleep_for(milliseconds(50));
    stop = true;
  });
  EXPECT_EQ(http_exchange(request).status().code(), StatusCode::kCancelled);
  later.join();
}

// A certificate for "localhost" that signs itself, and its key, both as PEM.
std::pair<std::string, std::string> self_signed() {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  X509* cert = X509_new();
  X509_set_version(cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
  X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
  X509_set_pubkey(cert, key);
  X509_NAME* name = X509_get_subject_name(cert);
  const auto* localhost = reinterpret_cast<const unsigned char*>("localhost");
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, localhost, -1, -1, 0);
  X509_set_issuer_name(cert, name);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
  X509_add_ext(cert, names, -1);
  X509_EXTENSION_free(names);
  X509_sign(cert, key, EVP_sha256());
  const auto pem = [](auto write) {
    BIO* out = BIO_new(BIO_s_mem());
    write(out);
    char* data = nullptr;
    const long size = BIO_ctrl(out, BIO_CTRL_INFO, 0, &data);
    std::string text(data, static_cast<size_t>(size));
    BIO_free(out);
    return text;
  };
  std::pair<std::string, std::string> both = {
      pem([&](BIO* out) { PEM_write_bio_X509(out, cert); }), pem([&](BIO* out) {
        PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
      })};
  X509_free(cert);
  EVP_PKEY_free(key);
  return both;
}

TEST(HttpClient, TlsNeedsACertificateThatVerifiesForTheHost) {
  const auto [certificate, key] = self_signed();
  const TempDir dir;
  const std::string trusted = dir.path() + "/certificate.pem";
  ASSERT_TRUE(write_text_file(trusted, certificate).ok());
  ASSERT_TRUE(write_text_file(dir.path() + "/key.pem", key).ok());
  const ScriptedServer server(
      [](const auto&) {
        return ScriptedAnswer{200, "safe"};
      },
      {.certificate_file = trusted, .key_file = dir.path() + "/key.pem"});
  HttpRequest request;
  request.url = server.url();
  const Status stranger = http_exchange(request).status();
  EXPECT_EQ(stranger.code(), StatusCode::kIo);
  EXPECT_THAT(stranger.message(), HasSubstr("certificate verify failed"));
  EXPECT_EQ(server.requests(), 0);

  setenv("SSL_CERT_FILE", trusted.c_str(), 1);
  EXPECT_EQ(http_exchange(request).value().body, "safe");
  request.url = "https://127.0.0.1:" + server.port();
  EXPECT_THAT(http_exchange(request).status().message(), HasSubstr("certificate verify failed"));
  unsetenv("SSL_CERT_FILE");
}

}  // namespace
}  // namespace looplm
