// Templates in the shapes of published ones on conversations of all kinds, against jinja2 set up as
// transformers does. tests/oracle/chat_golden.py makes what is expected. With LOOPLM_CHAT_CASES the
// cases come from that file instead, for templates that are not ours to keep.
#include <cstdlib>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "looplm/chat.h"

#include "base/file.h"
#include "base/json.h"
#include "chat/jinja/json_value.h"
#include "chat/message.h"
#include "chat/render.h"

namespace looplm {
namespace {

using jinja::Dict;
using jinja::kForeign;
using jinja::Value;

// As transformers hands messages over: nothing is null, reasoning goes by all its names.
Value as_transformers(const OrderedJson& message) {
  Dict dict;
  const auto text = [](const char* key) { return Value::text(key); };
  const OrderedJson reasoning = message.value("reasoning_content", OrderedJson());
  if (!reasoning.is_null()) {
    dict.set(text("thinking"), jinja::from_json(reasoning, kForeign));
  }
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) {
      dict.set(Value::text(key), jinja::from_json(value, key == "role" ? 0 : kForeign));
    }
  }
  jinja::Budget budget(1000, 1 << 20);
  return jinja::make_dict(budget, std::move(dict));
}

class TemplateGolden : public testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    const char* other = std::getenv("LOOPLM_CHAT_CASES");
    const std::string folder = std::string(LOOPLM_GOLDEN_DIR) + "/chat/";
    const std::string path = other != nullptr ? std::string(other) : folder + "matrix.json";
    const Result<MappedFile> file = MappedFile::open(path);
    ASSERT_TRUE(file.ok()) << file.status().message();
    // Not by our strict reader: the file is larger than what it is for.
    golden_ = OrderedJson::parse(file.value().text());
    if (other != nullptr) {
      for (const auto& [name, source] : golden_["templates"].items()) {
        sources_[name] = source.get<std::string>();
      }
    } else {
      for (const OrderedJson& name : golden_["templates"]) {
        const std::string full = folder + "templates/" + name.get<std::string>() + ".jinja";
        const Result<MappedFile> source = MappedFile::open(full);
        ASSERT_TRUE(source.ok()) << source.status().message();
        sources_[name.get<std::string>()] = source.value().text();
      }
    }
    tokens_ = golden_["tokens"].get<std::map<std::string, std::string>>();
  }

  RenderInput input_of(const OrderedJson& test) {
    const OrderedJson& conversation = golden_["conversations"][test["conversation"]];
    RenderInput input;
    for (const OrderedJson& message : conversation["messages"]) {
      input.messages.push_back(as_transformers(message));
    }
    if (conversation.contains("tools")) {
      input.tools = jinja::from_json(conversation["tools"], kForeign);
    }
    for (const auto& [key, value] : test["options"].items()) {
      if (key == "add_generation_prompt") {
        input.add_generation_prompt = value.get<bool>();
      } else if (key == "continue_final_message") {
        input.continue_final_message = value.get<bool>();
      } else {
        input.variables.set(Value::text(key), jinja::from_json(value, kForeign));
      }
    }
    input.tokens = &tokens_;
    input.now = golden_["now"].get<std::time_t>();
    return input;
  }

  OrderedJson golden_;
  std::map<std::string, std::string> sources_;
  std::map<std::string, std::string> tokens_;
};

TEST_F(TemplateGolden, RendersWhatTransformersRenders) {
  size_t cases = 0;
  for (const OrderedJson& test : golden_["cases"]) {
    const auto name = test["template"].get<std::string>();
    const std::string what =
        name + " " + test["conversation"].get<std::string>() + " " + test["options"].dump();
    Result<jinja::Program> program = jinja::Program::parse(sources_[name]);
    ASSERT_TRUE(program.ok()) << what << ": " << program.status().message();
    const Result<jinja::Text> text = render_conversation(program.value(), input_of(test));
    if (test.contains("error")) {
      EXPECT_FALSE(text.ok()) << what << ": expected an error, got\n" << text.value().view();
    } else if (!text.ok()) {
      ADD_FAILURE() << what << ": " << text.status().message();
    } else {
      EXPECT_EQ(text.value().view(), test["text"].get<std::string>()) << what;
    }
    ++cases;
  }
  EXPECT_GT(cases, 500U);
}

// Where the template takes all that the conversation has, messages read from OpenAI's JSON give the
// same prompt: arguments come as text there, and become what the template wants.
TEST_F(TemplateGolden, MessagesInOpenAiShapeGiveTheSamePrompt) {
  if (std::getenv("LOOPLM_CHAT_CASES") != nullptr) GTEST_SKIP();
  const auto tokenizer = Tokenizer::load(std::string(LOOPLM_GOLDEN_DIR) + "/text/smollm");
  ASSERT_TRUE(tokenizer.ok());
  size_t same = 0;
  for (const char* name : {"thinking_tools", "hermes_tools", "generation"}) {
    ChatFiles files{{{"default", sources_[name]}}, tokens_};
    const auto chat = ChatTemplate::create(files, *tokenizer.value());
    ASSERT_TRUE(chat.ok()) << chat.status().message();
    for (const OrderedJson& test : golden_["cases"]) {
      const auto conversation = test["conversation"].get<std::string>();
      // Roles and lists of parts that these templates do not know are changed for them.
      if (test["template"] != name || test.contains("error") || conversation == "developer" ||
          conversation == "parts" || test["options"].contains("continue_final_message")) {
        continue;
      }
      OrderedJson data = golden_["conversations"][conversation];
      for (OrderedJson& message : data["messages"]) {
        if (!message.contains("tool_calls")) continue;
        for (OrderedJson& call : message["tool_calls"]) {
          call["function"]["arguments"] = call["function"]["arguments"].dump();
        }
      }
      const auto messages = read_chat_messages(data["messages"], "messages");
      ASSERT_TRUE(messages.ok()) << messages.status().message();
      ChatRenderOptions options;
      options.add_generation_prompt = test["options"].value("add_generation_prompt", false);
      if (test["options"].contains("enable_thinking")) {
        options.enable_thinking = test["options"]["enable_thinking"].get<bool>();
      }
      if (data.contains("tools")) options.tools = read_chat_tools(data["tools"], "tools").value();
      if (!options.tools.empty() && std::string(name) == "generation") continue;
      const auto rendered = chat.value().render(messages.value(), options);
      ASSERT_TRUE(rendered.ok()) << name << " " << conversation << rendered.status().message();
      EXPECT_EQ(rendered.value().text, test["text"].get<std::string>())
          << name << " " << conversation;
      ++same;
    }
  }
  EXPECT_GT(same, 100U);
}

}  // namespace
}  // namespace looplm
