#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "looplm/chat.h"

#include "base/rng.h"
#include "text/utf8.h"

namespace looplm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ChatMessage parse(std::string_view text, const ChatParseOptions& options) {
  ChatOutputParser parser(options);
  parser.push(text);
  parser.finish();
  return parser.message();
}

ChatParseOptions tools(ToolCallFormat format, bool in_reasoning = false) {
  ChatParseOptions options;
  options.format.tool_calls = format;
  options.tool_calls = true;
  options.in_reasoning = in_reasoning;
  return options;
}

std::vector<std::string> calls(const ChatMessage& message) {
  std::vector<std::string> all;
  for (const ToolCall& call : message.tool_calls) all.push_back(call.name + call.arguments);
  return all;
}

TEST(OutputParser, ReasoningIsCutOff) {
  const auto both = [](std::string_view text, bool opened) {
    ChatParseOptions options;
    options.in_reasoning = opened;
    const ChatMessage message = parse(text, options);
    return std::pair(message.reasoning, message.text());
  };
  using Pair = std::pair<std::string, std::string>;
  EXPECT_EQ(both("<think>\nhm\n</think>\n\nYes.", false), Pair("hm", "Yes."));
  EXPECT_EQ(both(" \n<think>a\n\nb</think>Yes.\n", false), Pair("a\n\nb", "Yes.\n"));
  EXPECT_EQ(both("hm\n</think>\n\nYes.", true), Pair("hm", "Yes."));
  EXPECT_EQ(both("<think>hm</think>Yes.", true), Pair("hm", "Yes."));  // opened twice
  EXPECT_EQ(both("<think>\n\n</think>\n\nYes.", false), Pair("", "Yes."));
  EXPECT_EQ(both("<think>never closed </thin", false), Pair("never closed </thin", ""));
  EXPECT_EQ(both("never closed\n", true), Pair("never closed", ""));
  EXPECT_EQ(both("Plain <think>no</think>", false), Pair("", "Plain <think>no</think>"));
  EXPECT_EQ(both("<thin", false), Pair("", "<thin"));
  EXPECT_EQ(both("  ", false), Pair("", "  "));
  EXPECT_EQ(both("", true), Pair("", ""));
  EXPECT_EQ(both("<think></think>a</think>b", false), Pair("", "a</think>b"));
  ChatParseOptions off;
  off.reasoning = false;
  EXPECT_EQ(parse("<think>a</think>b", off).text(), "<think>a</think>b");
}

TEST(OutputParser, HermesCalls) {
  const auto options = tools(ToolCallFormat::kHermes);
  ChatMessage message = parse(
      "Let me look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}<\\\"\", "
      "\"b\": [1, {\"c\": null}]}}\n</tool_call>\n<tool_call>{\"name\":\"g\",\"arguments\":{}}"
      "</tool_call>\n",
      options);
  EXPECT_EQ(message.text(), "Let me look.");
  EXPECT_THAT(calls(message),
              ElementsAre("f{\"a\": \"}<\\\"\", \"b\": [1, {\"c\": null}]}", "g{}"));
  EXPECT_NE(message.tool_calls[0].id, message.tool_calls[1].id);
  EXPECT_TRUE(message.tool_calls[0].id.starts_with("call_"));
  // Other orders and arguments as text, read when they are whole.
  EXPECT_THAT(
      calls(parse("<tool_call>{\"arguments\": {\"a\": 1}, \"name\": \"f\"}</tool_call>", options)),
      ElementsAre("f{\"a\":1}"));
  EXPECT_THAT(
      calls(parse("<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
                  options)),
      ElementsAre("f{\"a\": 1}"));
  EXPECT_THAT(calls(parse("<tool_call>{\"name\": \"f\"}</tool_call>", options)),
              ElementsAre("f{}"));
  // No closing tag, other keys, cut off in the middle.
  EXPECT_THAT(calls(parse("<tool_call>{\"name\": \"f\", \"arguments\": {}}", options)),
              ElementsAre("f{}"));
  EXPECT_THAT(
      calls(parse("<tool_call>{\"name\": \"f\", \"arguments\": {}, \"id\": \"x}\"}</tool_call>",
                  options)),
      ElementsAre("f{}"));
  EXPECT_THAT(calls(parse("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"lo", options)),
              ElementsAre("f{\"a\": \"lo"));
}

TEST(OutputParser, WhatIsNoCallStaysContent) {
  const auto options = tools(ToolCallFormat::kHermes);
  for (const char* text : {"<tool_call>", "<tool_call>\nnot json\n</tool_call> more",
                           "<tool_call>{\"name\": 5}</tool_call>", "a <tool_ca",
                           "<tool_call>[1]</tool_call>", "x\n\n<tool_call>{\"nam", "tail  \n",
                           "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>",
                           "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>"}) {
    const ChatMessage message = parse(text, options);
    EXPECT_EQ(message.text(), text);
    EXPECT_THAT(message.tool_calls, IsEmpty()) << text;
  }
  // A broken call does not hide the next one, nor text behind a call.
  const ChatMessage message =
      parse("<tool_call>oops <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call> and on",
            options);
  EXPECT_EQ(message.text(), "<tool_call>oops and on");
  EXPECT_THAT(calls(message), ElementsAre("f{}"));
  // Without tools nothing is a call, and in the reasoning nothing is either.
  const std::string call = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
  EXPECT_EQ(parse(call, {}).text(), call);
  const ChatMessage thinking = parse(call + "</think>done", tools(ToolCallFormat::kHermes, true));
  EXPECT_EQ(thinking.reasoning, call);
  EXPECT_EQ(thinking.text(), "done");
  EXPECT_THAT(thinking.tool_calls, IsEmpty());
}

// Wherever the budget ends, nothing of a call's form is content.
TEST(OutputParser, WhatTheBudgetCutIsNoContent) {
  const std::string call =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
  const std::string text = "<think>why</think>" + call + "\n" + call;
  ChatParseOptions options = tools(ToolCallFormat::kHermes);
  options.must_call = true;
  for (size_t size = std::string("<think>").size(); size <= text.size(); ++size) {
    ChatOutputParser parser(options);
    parser.push(text.substr(0, size));
    parser.finish(AnswerEnd::kCut);
    EXPECT_EQ(parser.message().text(), "") << text.substr(0, size);
    EXPECT_TRUE(std::string("why").starts_with(parser.message().reasoning)) << size;
  }
  // Where the model may answer, it may have meant what has not become a call yet.
  options.must_call = false;
  for (const auto& [given, content] : std::vector<std::pair<std::string, std::string>>{
           {"a <tool_ca", "a <tool_ca"},
           {"a <tool_call>\n{\"nam", "a"},
           {call + "\n</to", "\n</to"},
           {call + "\n<tool", ""},
           {call.substr(0, call.size() - 3), ""},
           {"<tool_call>{\"arguments\": {}, \"na", ""}}) {
    ChatOutputParser parser(options);
    parser.push(given);
    parser.finish(AnswerEnd::kCut);
    EXPECT_EQ(parser.message().text(), content) << given;
  }
}

TEST(OutputParser, OtherForms) {
  const auto mistral = tools(ToolCallFormat::kMistral);
  ChatMessage message = parse(
      "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"abc\"}, {\"name\": "
      "\"g\", "
      "\"arguments\": {}}]",
      mistral);
  EXPECT_THAT(calls(message), ElementsAre("f{\"a\": 1}", "g{}"));
  EXPECT_EQ(message.tool_calls[0].id.size(), 9U);
  EXPECT_EQ(message.text(), "");
  EXPECT_THAT(calls(parse("ok[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[ARGS]{}", mistral)),
              ElementsAre("f{\"a\": 1}", "g{}"));
  EXPECT_EQ(parse("[TOOL_CALLS] none", mistral).text(), "[TOOL_CALLS] none");
  const auto llama = tools(ToolCallFormat::kLlama);
  EXPECT_THAT(calls(parse("{\"name\": \"f\", \"parameters\": {\"a\": 1}}", llama)),
              ElementsAre("f{\"a\": 1}"));
  EXPECT_THAT(calls(parse("<|python_tag|>{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", "
                          "\"parameters\": {}}",
                          llama)),
              ElementsAre("f{}", "g{}"));
  EXPECT_EQ(parse("{\"answer\": 4}", llama).text(), "{\"answer\": 4}");
  // An object that has a name is no call yet.
  for (const char* text :
       {R"({"name": "Ada", "age": 36})", R"([{"name": "Ada"}])", R"({"name": "f"})"}) {
    EXPECT_EQ(parse(text, llama).text(), text);
  }
  EXPECT_THAT(calls(parse(R"({"parameters": null, "name": "f"})", llama)), ElementsAre("f{}"));
  EXPECT_EQ(parse("It is {\"name\": \"f\", \"parameters\": {}}", llama).text(),
            "It is {\"name\": \"f\", \"parameters\": {}}");
}

// However the text is cut, the deltas add up to the same message, and to what message() says.
TEST(OutputParser, StreamingInAnyCutGivesTheSame) {
  const std::vector<std::string> atoms = {"<think>",
                                          "</think>",
                                          "<tool_call>",
                                          "</tool_call>",
                                          "{\"name\": \"f\", \"arguments\": ",
                                          "{\"a\": \"x\\\"}\"}",
                                          "{}",
                                          "}",
                                          "\n",
                                          "  ",
                                          "text",
                                          "é日😀",
                                          "<",
                                          "</",
                                          "[TOOL_CALLS]",
                                          "[",
                                          "]",
                                          ", ",
                                          "f[ARGS]",
                                          "{\"arguments\": {}, \"name\": \"g\"}",
                                          ";",
                                          "<|python_tag|>",
                                          "{\"name\": \"h\", \"parameters\": {\"k\": [1]}}",
                                          "\"",
                                          "<tool_call>\n{\"name\": \"f\", "
                                          "\"arguments\": {\"q\": 1}}\n</tool_call>"};
  Rng rng(7, 0);
  for (int trial = 0; trial < 6000; ++trial) {
    std::string text;
    for (uint32_t n = rng.below(9); n > 0; --n) {
      text += atoms[rng.below(static_cast<uint32_t>(atoms.size()))];
    }
    ChatParseOptions options = tools(static_cast<ToolCallFormat>(rng.below(3)), rng.below(2) == 0);
    options.tool_calls = rng.below(8) != 0;
    const ChatMessage whole = parse(text, options);

    ChatOutputParser parser(options);
    ChatMessage streamed;
    std::string content;
    const auto take = [&](const std::vector<ChatDelta>& deltas) {
      for (const ChatDelta& delta : deltas) {
        switch (delta.kind) {
          case ChatDelta::Kind::kReasoning:
            streamed.reasoning += delta.text;
            break;
          case ChatDelta::Kind::kContent:
            content += delta.text;
            break;
          case ChatDelta::Kind::kToolCall:
            ASSERT_EQ(delta.call, streamed.tool_calls.size());
            streamed.tool_calls.push_back({delta.id, delta.name, ""});
            break;
          case ChatDelta::Kind::kArguments:
            ASSERT_LT(delta.call, streamed.tool_calls.size());
            streamed.tool_calls[delta.call].arguments += delta.text;
            break;
        }
        ASSERT_TRUE(is_utf8(delta.text));
        ASSERT_TRUE(!delta.text.empty() || delta.kind == ChatDelta::Kind::kToolCall);
      }
    };
    for (size_t at = 0; at < text.size();) {
      size_t end = at;
      for (uint32_t n = 1 + rng.below(6); n > 0 && end < text.size(); --n) {
        end += utf8_step(std::string_view(text).substr(end)).size;
      }
      take(parser.push(std::string_view(text).substr(at, end - at)));
      at = end;
    }
    take(parser.finish());
    ASSERT_EQ(streamed.reasoning, whole.reasoning) << text;
    ASSERT_EQ(content, whole.text()) << text;
    ASSERT_EQ(calls(streamed), calls(whole)) << text;
    ASSERT_EQ(calls(parser.message()), calls(whole)) << text;
    for (size_t i = 0; i < whole.tool_calls.size(); ++i) {
      ASSERT_EQ(streamed.tool_calls[i].id, whole.tool_calls[i].id);
    }
  }
}

TEST(OutputParser, ArgumentsAreStreamedWhileTheyAreWritten) {
  ChatOutputParser parser(tools(ToolCallFormat::kHermes));
  EXPECT_THAT(parser.push("<tool_call>\n{\"name\": \"f\", \"arguments\": "), IsEmpty());
  const auto first = parser.push("{\"a\":");
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].name, "f");
  EXPECT_EQ(first[1].text, "{\"a\":");
  const auto second = parser.push(" 1}}\n</tool_call>");
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].text, " 1}");
}

}  // namespace
}  // namespace looplm
