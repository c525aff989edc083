// Small templates against jinja2. tests/oracle/chat_golden.py makes what is expected.
#include <cstdlib>

#include <gtest/gtest.h>

#include "base/json.h"
#include "chat/jinja/json_value.h"
#include "chat/jinja/program.h"

namespace looplm::jinja {
namespace {

class JinjaGolden : public testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    auto file = read_ordered_json_file(std::string(LOOPLM_GOLDEN_DIR) + "/chat/snippets.json");
    ASSERT_TRUE(file.ok()) << file.status().message();
    golden_ = std::move(file).value();
    context_ = *from_json(golden_["context"], kForeign).dict();
  }

  Result<Text> render(const std::string& source) {
    Result<Program> program = Program::parse(source);
    if (!program.ok()) return program.status();
    return program->render(context_, golden_["now"].get<std::time_t>());
  }

  OrderedJson golden_;
  Dict context_;
};

TEST_F(JinjaGolden, SnippetsRenderTheSame) {
  for (const OrderedJson& test : golden_["cases"]) {
    if (test.contains("error")) continue;
    const auto source = test["template"].get<std::string>();
    Result<Text> text = render(source);
    ASSERT_TRUE(text.ok()) << source << "\n" << text.status().message();
    EXPECT_EQ(text->view(), test["text"].get<std::string>()) << source;
    if (test.contains("generated")) {
      std::string generated;
      text->for_each_run(0, text->size(), [&](std::string_view part, Marks marks) {
        if ((marks & kGenerated) != 0) generated += part;
      });
      EXPECT_EQ(generated, test["generated"].get<std::string>()) << source;
    }
  }
}

TEST_F(JinjaGolden, ErrorsAreErrorsAndNameTheLine) {
  for (const OrderedJson& test : golden_["cases"]) {
    if (!test.contains("error")) continue;
    const auto source = test["template"].get<std::string>();
    Result<Text> text = render("\n" + source);
    ASSERT_FALSE(text.ok()) << source << "\n" << text->view();
    EXPECT_TRUE(text.status().message().starts_with("line ")) << text.status().message();
    EXPECT_FALSE(text.status().message().starts_with("line 1:")) << text.status().message();
  }
}

}  // namespace
}  // namespace looplm::jinja
