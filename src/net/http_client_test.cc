#include "net/http_client.h"

#include <cstdlib>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/file.h"
#include "base/percent.h"
#include "net/http_server.h"
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

TEST(HttpClient, HandsTheBodyOverAsItComes) {
  const std::string body(200'000, 'b');
  const ScriptedServer server([&](const auto&) {
    return ScriptedAnswer{206, body, {{"X-A", "1"}}};
  });
  HttpRequest request;
  request.url = server.url();
  std::string got;
  int pieces = 0;
  const auto take = [&](const HttpResponse& head, std::string_view piece) {
    EXPECT_EQ(head.status, 206);
    EXPECT_EQ(head.header("x-a"), "1");
    got += piece;
    ++pieces;
    return Status();
  };
  const HttpResponse response = http_exchange(request, take).value();
  EXPECT_EQ(response.status, 206);
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(got, body);
  EXPECT_GT(pieces, 1);
  const auto refuse = [](const auto&, std::string_view) { return resource_exhausted("full"); };
  EXPECT_EQ(http_exchange(request, refuse).status().message(), "full");
  request.response_limit = 1000;
  EXPECT_THAT(http_exchange(request, take).status().message(), HasSubstr("more than 1000 bytes"));
}

TEST(HttpClient, GivesUpOnAServerThatFallsSilent) {
  std::shared_ptr<HttpReply> kept;
  const auto server = HttpServer::start(
                          {},
                          [&](const HttpCall&, const std::shared_ptr<HttpReply>& reply) {
                            kept = reply;
                            reply->begin(200, {});
                            reply->write("some");
                          },
                          [](int, const std::string& message) { return message; })
                          .value();
  HttpRequest request;
  request.url = fmt::format("http://127.0.0.1:{}", server->port());
  request.total_timeout = milliseconds(0);
  request.idle_timeout = milliseconds(200);
  std::string got;
  const Status silent = http_exchange(request, [&](const auto&, std::string_view piece) {
                          got += piece;
                          return Status();
                        }).status();
  EXPECT_THAT(silent.message(), HasSubstr("has sent nothing for 200 ms"));
  EXPECT_EQ(got, "some");
}

TEST(HttpClient, FollowsRedirectsAndKeepsTheKeyAtHome) {
  const auto seen = [](const HttpCall& call) {
    return ScriptedAnswer{200, call.path + "?" + call.query + " " +
                                   std::string(call.header("authorization")) + " " +
                                   std::string(call.header("range"))};
  };
  const ScriptedServer other(seen);
  const ScriptedServer server([&](const HttpCall& call) {
    const auto to = [](int status, const std::string& place) {
      return ScriptedAnswer{status, "gone", {{"Location", place}}};
    };
    if (call.path == "/a/absolute") return to(302, other.url() + "/there?x=1");
    if (call.path == "/a/rooted") return to(307, "/here");
    if (call.path == "/a/relative") return to(308, "beside?y");
    if (call.path == "/a/same") return to(301, "//127.0.0.1:" + std::to_string(0));
    if (call.path == "/round") return to(302, "/round");
    return seen(call);
  });
  HttpRequest request;
  request.headers = {{"Authorization", "secret"}, {"Range", "bytes=1-"}};
  const auto from = [&](const std::string& path) {
    request.url = server.url() + path;
    return http_get_following(request);
  };
  EXPECT_EQ(from("/a/absolute").value().body, "/there?x=1  bytes=1-");
  EXPECT_EQ(from("/a/rooted").value().body, "/here? secret bytes=1-");
  EXPECT_EQ(from("/a/relative").value().body, "/a/beside?y secret bytes=1-");
  EXPECT_THAT(from("/a/same").status().message(), HasSubstr("port '0'"));
  EXPECT_THAT(from("/round").status().message(), HasSubstr("redirects more than 10 times"));
  request.url = server.url() + "/a/absolute";
  std::string got;
  ASSERT_TRUE(http_get_following(request, [&](const auto&, std::string_view piece) {
                got += piece;
                return Status();
              }).ok());
  EXPECT_EQ(got, "/there?x=1  bytes=1-");  // without the redirect's own body
}

TEST(Url, PercentSigns) {
  EXPECT_EQ(percent_encoded("a/b c+d%-._~"), "a/b%20c%2Bd%25-._~");
  EXPECT_EQ(percent_decoded(percent_encoded("a/b c+d%\xff")), "a/b c+d%\xff");
  EXPECT_EQ(resolve_url("http://h:1/a/b?c", "?d").value(), "http://h:1/a/b?d");
  EXPECT_EQ(resolve_url("http://h:1", "x").value(), "http://h:1/x");
  EXPECT_EQ(resolve_url("https://h/a", "//g/b").value(), "https://g/b");
}

// A certificate for "localhost" that signs itself, and its key, both as PEM; the key is encrypted
// if there is a password.
std::pair<std::string, std::string> self_signed(const char* password = nullptr) {
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
        const EVP_CIPHER* cipher = password == nullptr ? nullptr : EVP_aes_128_cbc();
        PEM_write_bio_PrivateKey(out, key, cipher, nullptr, 0, nullptr,
                                 const_cast<char*>(password));
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

TEST(HttpServer, RefusesAnEncryptedKeyAndAsksNobody) {
  const auto [certificate, key] = self_signed("secret");
  const TempDir dir;
  HttpServerOptions options;
  options.port = 0;
  options.certificate_file = dir.path() + "/certificate.pem";
  options.key_file = dir.path() + "/key.pem";
  ASSERT_TRUE(write_text_file(options.certificate_file, certificate).ok());
  ASSERT_TRUE(write_text_file(options.key_file, key).ok());
  EXPECT_THAT(HttpServer::start(options, {}, {}).status().message(),
              HasSubstr("key.pem' is encrypted; expected a key without a pass phrase"));
}

}  // namespace
}  // namespace looplm
