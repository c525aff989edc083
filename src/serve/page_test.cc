#include "serve/page.h"

#include <regex>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "net/http_client.h"
#include "serve/server.h"

namespace looplm {
namespace {

using testing::HasSubstr;
using testing::Not;

HttpResponse get(const Server& server, const std::string& path) {
  HttpRequest request;
  request.method = "GET";
  request.url = fmt::format("http://127.0.0.1:{}{}", server.port(), path);
  return http_exchange(request).value();
}

TEST(Page, OpensBeforeTheModelIsLoadedAndWithoutAKey) {
  ServeOptions options;
  options.model_name = "small";
  options.api_keys = {"secret"};
  const std::unique_ptr<Server> server = Server::listen(options).value();
  std::set<std::string> served;
  for (const EmbeddedFile& file : page_files()) {
    const std::string path = page_path(file.name);
    served.insert(path);
    const HttpResponse response = get(*server, path);
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_EQ(response.body, file.bytes) << path;
    EXPECT_THAT(response.header("content-security-policy"), HasSubstr("default-src 'none'"));
    EXPECT_THAT(response.header("content-security-policy"), Not(HasSubstr("unsafe")));
  }
  EXPECT_THAT(get(*server, "/").header("content-type"), HasSubstr("text/html"));
  EXPECT_THAT(get(*server, "/page/app.js").header("content-type"), HasSubstr("text/javascript"));
  EXPECT_EQ(get(*server, "/page/index.html").status, 404);

  // Whatever the files name is served too, and nothing is named elsewhere.
  const std::regex named("(?:src|href)=\"([^\"#][^\"]*)\"|from \"\\.(/[^\"]*)\"");
  for (const EmbeddedFile& file : page_files()) {
    const std::string text(file.bytes);
    for (std::sregex_iterator i(text.begin(), text.end(), named), end; i != end; ++i) {
      const std::string path = (*i)[1].matched ? (*i)[1].str() : "/page" + (*i)[2].str();
      EXPECT_TRUE(served.contains(path)) << file.name << " names " << path;
    }
  }
}

// Text of a model becomes elements nowhere.
TEST(Page, NeverMakesElementsOutOfText) {
  for (const EmbeddedFile& file : page_files()) {
    if (!file.name.ends_with(".js")) continue;
    for (const char* way :
         {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("})
      EXPECT_THAT(std::string(file.bytes), Not(HasSubstr(way))) << file.name;
  }
}

}  // namespace
}  // namespace looplm
