#include "looplm/chat.h"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/json.h"
#include "chat/tool_grammar.h"
#include "grammar/automaton.h"
#include "grammar/program.h"
#include "support/status_matchers.h"
#include "text/byte_level.h"

namespace looplm {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

// Bytes as tokens, and the given special tokens from id 256.
std::unique_ptr<Tokenizer> byte_tokenizer(const std::vector<std::string>& special) {
  Json file = {{"added_tokens", Json::array()},
               {"normalizer", nullptr},
               {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
               {"post_processor", nullptr},
               {"decoder", {{"type", "ByteLevel"}}},
               {"model", {{"type", "BPE"}, {"merges", Json::array()}}}};
  const ByteLevel alphabet;
  for (int b = 0; b < 256; ++b) {
    file["model"]["vocab"][alphabet.text_of(std::string(1, static_cast<char>(b)))] = b;
  }
  for (size_t i = 0; i < special.size(); ++i) {
    file["added_tokens"].push_back({{"id", 256 + i}, {"content", special[i]}, {"special", true}});
  }
  return Tokenizer::parse(file.dump(), "bytes").value();
}

ChatTemplate make(const std::string& source, const Tokenizer& tokenizer) {
  ChatFiles files;
  if (!source.empty()) files.templates.push_back({"default", source});
  files.tokens["bos_token"] = "<s>";
  return ChatTemplate::create(files, tokenizer).value();
}

std::string prompt(const ChatTemplate& chat, const std::string& messages,
                   const ChatRenderOptions& options = {}) {
  const auto parsed = parse_chat_messages(messages);
  EXPECT_OK(parsed.status());
  const auto rendered = chat.render(parsed.value(), options);
  EXPECT_OK(rendered.status());
  return rendered.ok() ? rendered.value().text : "";
}

TEST(Messages, ErrorsNamePlaceValueAndWhatWasExpected) {
  const auto error = [](const std::string& json) { return parse_chat_messages(json).status(); };
  EXPECT_ERROR_SAYS(error("{}"), "messages is {}; expected a list of messages");
  EXPECT_ERROR_SAYS(error("[]"), "messages is empty");
  EXPECT_ERROR_SAYS(error("[5]"), "messages[0] is 5; expected an object");
  EXPECT_ERROR_SAYS(error("[{}]"), "messages[0].role is missing");
  EXPECT_ERROR_SAYS(error(R"([{"from": "human", "value": "hi"}])"), "messages[0].role is missing",
                    R"("role" and "content", not {"from":"human","value":"hi"})");
  EXPECT_ERROR_SAYS(error(R"([{"role": "robot", "content": ""}])"),
                    "messages[0].role is \"robot\"; expected \"system\"");
  EXPECT_ERROR_SAYS(error(R"([{"role": "user"}])"), "messages[0].content is missing");
  EXPECT_ERROR_SAYS(error(R"([{"role": "user", "content": 5}])"), "messages[0].content is 5");
  EXPECT_ERROR_SAYS(error(R"([{"role": "user", "content": [{"type": "image_url"}]}])"),
                    "messages[0].content[0].type is \"image_url\"; expected \"text\"");
  EXPECT_ERROR_SAYS(error(R"([{"role": "user", "content": [{"type": "text"}]}])"),
                    "messages[0].content[0].text is missing");
  EXPECT_ERROR_SAYS(error(R"([{"role": "user", "content": "", "tool_calls": [{}]}])"),
                    "only the assistant calls tools");
  EXPECT_ERROR_SAYS(error(R"([{"role": "assistant", "tool_calls": [{"function": {}}]}])"),
                    "messages[0].tool_calls[0].function.name is missing");
  EXPECT_ERROR_SAYS(
      error(
          R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]}])"),
      "messages[0].tool_calls[0].function.arguments is 5; expected JSON");
  EXPECT_ERROR_SAYS(parse_chat_tools(R"([{"type": "function", "function": {"name": "f"}},
                                         {"type": "function", "function": {"name": "f"}}])"),
                    "tools[1].function.name is 'f', as tools[0]'s is");
  EXPECT_ERROR_SAYS(parse_chat_tools(R"([{"type": "web_search"}])"),
                    "tools[0].type is \"web_search\"; expected \"function\"");
  EXPECT_OK(error(R"([{"role": "assistant", "content": null, "tool_calls": null}])"));
  const auto call = parse_chat_messages(
      R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]}])");
  ASSERT_OK(call.status());
  EXPECT_EQ(call.value()[0].tool_calls[0].arguments, "{}");
}

TEST(ChatTemplate, ModelsWithoutOneGetChatMlOrNamesAndAWordAboutIt) {
  const std::string messages = R"([{"role": "system", "content": "S"},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}])";
  const auto chat_ml = byte_tokenizer({"<|im_start|>", "<|im_end|>"});
  const ChatTemplate first = ChatTemplate::create({}, *chat_ml).value();
  EXPECT_EQ(prompt(first, messages),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na\nb<|im_end|>\n"
            "<|im_start|>assistant\nc<|im_end|>\n<|im_start|>user\nd<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_THAT(first.notes(), Contains(HasSubstr("ChatML is used")));
  EXPECT_EQ(first.end_of_turn(), "<|im_end|>");
  const auto plain = byte_tokenizer({});
  const ChatTemplate second = ChatTemplate::create({}, *plain).value();
  EXPECT_EQ(prompt(second, messages), "System: S\nUser: a\nb\nAssistant: c\nUser: d\nAssistant:");
  EXPECT_THAT(second.notes(), Contains(HasSubstr("names in front of lines")));
  EXPECT_EQ(second.end_of_turn(), "");
}

// As GLM's: nothing stands behind an answer but the next turn.
TEST(ChatTemplate, TheNextTurnsFirstTokenMayEndATurn) {
  const auto tokenizer = byte_tokenizer({"<user>", "<assistant>", "<observation>", "<call>"});
  const std::string turns =
      "{% for m in messages %}<{{ 'observation' if m.role == 'tool' else m.role }}>{{ m.content }}"
      "{% for c in m.tool_calls or [] %}{{ c.function.arguments | tojson }}{% endfor %}\n"
      "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
  const ChatTemplate next = make(turns, *tokenizer);
  EXPECT_EQ(next.end_of_turn(), "<user>");
  EXPECT_THAT(next.end_ids(), ElementsAre(256, 258));
  // A call that ends otherwise than an answer does.
  const ChatTemplate own = make(
      "{% for m in messages %}{{ m.role }}{{ m.content }}{% if m.tool_calls %}"
      "{{ m.tool_calls[0].function.arguments | tojson }}<call>{% else %}<user>{% endif %}\n"
      "{% endfor %}",
      *tokenizer);
  EXPECT_THAT(own.end_ids(), ElementsAre(256, 259));
  // A call's words that are written only beside tools, and those that the template refuses to end
  // with, do not make the next turn's head an end.
  const std::string head = "{% for m in messages %}<user>{{ m.role }} {{ m.content }}";
  const std::string arguments = "{{ c.function.arguments | tojson }}";
  const std::string call = "{% for c in m.tool_calls or [] %}" + arguments + "{% endfor %}";
  const ChatTemplate beside_tools =
      make(head + "{% if tools %}" + call + "{% endif %}<assistant>\n{% endfor %}", *tokenizer);
  EXPECT_THAT(beside_tools.end_ids(), ElementsAre(257));
  const ChatTemplate unanswered =
      make("{% if messages[-1].tool_calls %}{{ raise_exception('no answer') }}{% endif %}" + head +
               call + "<assistant>\n{% endfor %}",
           *tokenizer);
  EXPECT_THAT(unanswered.end_ids(), ElementsAre(257));
  // What stands behind each call does not end the turn.
  const ChatTemplate several = make(head + "{% for c in m.tool_calls or [] %}" + arguments +
                                        "<call>{% else %}<assistant>{% endfor %}{% endfor %}",
                                    *tokenizer);
  EXPECT_THAT(several.end_ids(), ElementsAre(257, 256));
  // The next turn's head begins with words.
  const ChatTemplate words =
      make("{% for m in messages %}[{{ m.role }}<user>]{{ m.content }}\n{% endfor %}", *tokenizer);
  EXPECT_THAT(words.end_ids(), ElementsAre());
}

TEST(ChatTemplate, WhatATemplateLacksIsWorkedAround) {
  const auto tokenizer = byte_tokenizer({"<end>"});
  // No system role, no tools, turns must alternate.
  const ChatTemplate strict = make(
      "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
      "{{ raise_exception('roles must alternate') }}{% endif %}"
      "{{ m.role + ':' + m.content + '<end>' }}{% endfor %}",
      *tokenizer);
  EXPECT_THAT(strict.notes(), Contains(HasSubstr("no system messages")));
  EXPECT_THAT(strict.notes(), Contains(HasSubstr("not learnt to call tools")));
  EXPECT_EQ(strict.end_of_turn(), "<end>");
  EXPECT_EQ(prompt(strict,
                   R"([{"role": "developer", "content": "S"}, {"role": "user", "content": "u"}])"),
            "user:S\n\nu<end>");
  ChatRenderOptions options;
  options.tools = parse_chat_tools(
                      R"([{"type": "function", "function": {"name": "f", "zeta": 1, "alpha": 2}}])")
                      .value();
  const std::string text = prompt(strict, R"([{"role": "user", "content": "u"},
      {"role": "assistant", "content": null, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
        {"id": "2", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "one"},
      {"role": "tool", "tool_call_id": "2", "content": "two"}])",
                                  options);
  EXPECT_THAT(text, HasSubstr("<tools>\n{\"type\":\"function\",\"function\":{\"name\":\"f\","
                              "\"zeta\":1,\"alpha\":2}}\n</tools>"));
  EXPECT_THAT(text,
              HasSubstr("assistant:<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n"
                        "</tool_call>\n<tool_call>"));
  EXPECT_THAT(text, HasSubstr("user:<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n"
                              "</tool_response><end>"));
  // The template's own complaint comes through.
  const auto messages = parse_chat_messages(
      R"([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])");
  EXPECT_ERROR_SAYS(strict.render(messages.value()), "chat template: line 1: roles must alternate");
}

TEST(ChatTemplate, ArgumentsAreWhatTheTemplateWants) {
  const auto tokenizer = byte_tokenizer({});
  const std::string messages = R"([{"role": "user", "content": "u"},
      {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{\"b\":1,\"a\": [2]}"}}]},
      {"role": "tool", "content": "r"}])";
  const std::string start =
      "{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}";
  const std::string end = "{% endfor %}{% else %}{{ m.content }}{% endif %}{% endfor %}";
  EXPECT_EQ(prompt(make(start + "{{ c.function.arguments|tojson }}" + end, *tokenizer), messages),
            "u{\"b\": 1, \"a\": [2]}r");
  EXPECT_EQ(
      prompt(make(start + "{{ '[' + c.function.arguments + ']' }}" + end, *tokenizer), messages),
      "u[{\"b\":1,\"a\": [2]}]r");
  EXPECT_EQ(prompt(make(start + "{{ c.function.arguments }}" + end, *tokenizer), messages),
            "u{\"b\":1,\"a\": [2]}r");
}

TEST(ChatTemplate, ContinuesTheLastMessageAndKnowsOpenReasoning) {
  const auto tokenizer = byte_tokenizer({"<end>"});
  const ChatTemplate chat = make(
      "{% for m in messages %}{{ m.role + ':' + m.content|trim + '<end>' }}{% endfor %}"
      "{% if add_generation_prompt %}assistant:<think>\n{% endif %}",
      *tokenizer);
  ChatRenderOptions options;
  options.add_generation_prompt = false;
  options.continue_final_message = true;
  EXPECT_EQ(
      prompt(chat, R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b "}])",
             options),
      "user:a<end>assistant:b");
  const auto in_reasoning = [&](const std::string& content, const ChatRenderOptions& how) {
    const std::array<ChatMessage, 1> messages = {chat_message(ChatRole::kUser, content)};
    return chat.render(messages, how).value().in_reasoning;
  };
  EXPECT_TRUE(in_reasoning("hi", {}));
  EXPECT_TRUE(in_reasoning("</think>", {}));  // a user's words close nothing
  EXPECT_TRUE(in_reasoning("<think>so", options));
  EXPECT_FALSE(in_reasoning("<think>so</think>yes", options));
  EXPECT_ERROR_SAYS(chat.render({}, {}), "no messages");
  options.add_generation_prompt = true;
  EXPECT_ERROR_SAYS(chat.render(std::array{chat_message(ChatRole::kUser, "a")}, options),
                    "either continues the last message or begins");
  options = {};
  options.arguments = R"({"add_generation_prompt": false})";
  EXPECT_EQ(prompt(chat, R"([{"role": "user", "content": "a"}])", options), "user:a<end>");
}

TEST(EncodeChat, TheConversationsSpecialTokensAreText) {
  const auto tokenizer = byte_tokenizer({"<end>", "<s>"});
  const ChatTemplate chat = make(
      "{{ bos_token }}{% for m in messages %}{{ m.role[0] + m.content + '<end>' }}{% endfor %}",
      *tokenizer);
  const auto ids = [&](const std::string& content) {
    const std::array<ChatMessage, 1> messages = {chat_message(ChatRole::kUser, content)};
    return encode_chat(*tokenizer, chat.render(messages).value()).value().ids;
  };
  EXPECT_THAT(ids("a"), ElementsAre(257, 'u', 'a', 256));
  EXPECT_THAT(ids("<end>"), ElementsAre(257, 'u', '<', 'e', 'n', 'd', '>', 256));
  // Not by words that meet the template's either.
  EXPECT_THAT(ids("<en"), ElementsAre(257, 'u', '<', 'e', 'n', 256));
  const ChatTemplate joins = make("{{ '<' + messages[0].content + '>' }}", *tokenizer);
  const auto rendered = joins.render(std::array{chat_message(ChatRole::kUser, "end")}).value();
  EXPECT_EQ(rendered.text, "<end>");
  EXPECT_THAT(encode_chat(*tokenizer, rendered).value().ids, ElementsAre('<', 'e', 'n', 'd', '>'));
}

// With real vocabularies: without special tokens' texts in the conversation, the ids are those of
// the whole text at once, whatever meets at the borders.
TEST(EncodeChat, EqualsTheWholeTextWhereNothingIsSpecial) {
  for (const char* style : {"smollm", "gpt2", "llama3", "qwen", "pieces"}) {
    auto tokenizer = Tokenizer::load(std::string(LOOPLM_GOLDEN_DIR) + "/text/" + style);
    ASSERT_OK(tokenizer.status());
    const ChatTemplate chat = make(
        "{% for m in messages %}{{ m.role }}\n {{ m.content }} the{{ m.content }}\n\n{% endfor %}",
        **tokenizer);
    for (const char* content : {"re", "\n", "  two ", "'s it", "1234", "é\u0301", "日本", "ﬁ", "",
                                "x\n\n", "\t", "<|", "|>"}) {
      const auto rendered = chat.render(std::array{chat_message(ChatRole::kUser, content)}).value();
      EXPECT_EQ(encode_chat(**tokenizer, rendered).value().ids,
                (*tokenizer)->encode(rendered.text, {.as = EncodeAs::kContinuation}).value())
          << style << " " << content;
    }
  }
}

TEST(EncodeChat, MarksWhatTheAssistantWrote) {
  const auto tokenizer = byte_tokenizer({"<|im_start|>", "<|im_end|>"});
  const ChatTemplate chat = ChatTemplate::create({}, *tokenizer).value();
  const std::array<ChatMessage, 3> messages = {chat_message(ChatRole::kUser, "u"),
                                               chat_message(ChatRole::kAssistant, "yes"),
                                               chat_message(ChatRole::kUser, "v")};
  ChatRenderOptions options;
  options.add_generation_prompt = false;
  const EncodedChat encoded =
      encode_chat(*tokenizer, chat.render(messages, options).value()).value();
  std::string learnt;
  for (size_t i = 0; i < encoded.ids.size(); ++i) {
    if (encoded.generated[i]) learnt += tokenizer->bytes(encoded.ids[i]);
  }
  EXPECT_EQ(learnt, "yes<|im_end|>");
}

TEST(ChatFiles, AreReadAsTransformersReadsThem) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("looplm_chat_files_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder / "additional_chat_templates");
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder / name) << text;
  };
  write("tokenizer_config.json",
        R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": [
            {"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]})");
  ChatFiles files = read_chat_files(folder.string()).value();
  ASSERT_EQ(files.templates.size(), 2U);
  EXPECT_EQ(files.templates[1].name + files.templates[1].text, "tool_useT");
  EXPECT_EQ(files.tokens["bos_token"] + files.tokens["eos_token"], "<s></s>");
  write("chat_template.json", R"({"chat_template": "J"})");
  files = read_chat_files(folder.string()).value();
  ASSERT_EQ(files.templates.size(), 1U);
  EXPECT_EQ(files.templates[0].text, "J");
  write("chat_template.jinja", "file\n");
  write("additional_chat_templates/rag.jinja", "R");
  files = read_chat_files(folder.string()).value();
  ASSERT_EQ(files.templates.size(), 2U);
  EXPECT_EQ(files.templates[0].text + files.templates[1].name, "file\nrag");
  EXPECT_EQ(files.tokens["bos_token"], "<s>");
  write("tokenizer_config.json", R"({"chat_template": 5})");
  std::filesystem::remove(folder / "chat_template.jinja");
  std::filesystem::remove(folder / "chat_template.json");
  std::filesystem::remove_all(folder / "additional_chat_templates");
  EXPECT_ERROR_SAYS(read_chat_files(folder.string()), "chat_template is neither a text");
  std::filesystem::remove(folder / "tokenizer_config.json");
  EXPECT_TRUE(read_chat_files(folder.string()).value().templates.empty());
  // A link to what is gone is no missing file: the model would get another template.
  std::filesystem::create_symlink("gone", folder / "chat_template.jinja");
  EXPECT_ERROR_SAYS(read_chat_files(folder.string()), "chat_template.jinja", "No such file");
  std::filesystem::remove_all(folder);
}

TEST(ReasoningBudget, ForcesTheEndAndTakesTokensBack) {
  const auto tokenizer = byte_tokenizer({"<think>"});
  ReasoningBudget budget = ReasoningBudget::create(*tokenizer, {}, true, 3).value();
  for (char c : {'a', 'b'}) budget.accept(c);
  EXPECT_TRUE(budget.in_reasoning());
  EXPECT_EQ(budget.forced(), std::nullopt);
  budget.accept('c');
  std::string forced;
  while (const auto id = budget.forced()) {
    EXPECT_TRUE(budget.in_reasoning());
    forced += tokenizer->bytes(*id);
    budget.accept(*id);
  }
  EXPECT_EQ(forced, "</think>");
  EXPECT_FALSE(budget.in_reasoning());
  EXPECT_EQ(budget.reasoning_tokens(), 3);
  budget.forget(static_cast<int64_t>(forced.size()) + 1);
  EXPECT_EQ(budget.forced(), std::nullopt);
  EXPECT_EQ(budget.reasoning_tokens(), 2);
  // It may end by itself; and a model may begin by itself, or not at all.
  for (char c : std::string("</think>")) budget.accept(c);
  EXPECT_FALSE(budget.in_reasoning());
  ReasoningBudget own = ReasoningBudget::create(*tokenizer, {}, false, 0).value();
  EXPECT_EQ(own.forced(), std::nullopt);
  own.accept('\n');
  own.accept(256);
  EXPECT_EQ(own.forced(), '<');
  ReasoningBudget none = ReasoningBudget::create(*tokenizer, {}, false, 1).value();
  none.accept('a');
  none.accept(256);
  EXPECT_FALSE(none.in_reasoning());
}

bool matches(const Grammar& grammar, std::string_view text) {
  GrammarAutomaton automaton(
      std::make_shared<const GrammarProgram>(compile_grammar(grammar).value()));
  GrammarAutomaton::StateId state = automaton.start();
  for (char c : text) state = automaton.after(state, static_cast<uint8_t>(c));
  return automaton.accepts(state);
}

TEST(ToolGrammar, AllowsCallsAndNothingElse) {
  const auto tools = parse_chat_tools(R"([
      {"type": "function", "function": {"name": "add", "parameters": {"type": "object",
        "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false}}},
      {"type": "function", "function": {"name": "now"}}])")
                         .value();
  const auto read = [](ToolCallFormat format, std::string_view text) {
    ChatParseOptions options;
    options.format.tool_calls = format;
    options.tool_calls = true;
    ChatOutputParser parser(options);
    parser.push(text);
    parser.finish();
    return parser.message();
  };
  const std::vector<std::pair<ToolCallFormat, std::string>> texts = {
      {ToolCallFormat::kHermes,
       "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>\n<tool_call>\n"
       "{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"},
      {ToolCallFormat::kMistral,
       "[TOOL_CALLS][{\"name\": \"add\", \"arguments\": {\"a\": 1}}, {\"name\": \"now\", "
       "\"arguments\": {}}]"},
      {ToolCallFormat::kLlama,
       "{\"name\": \"add\", \"parameters\": {\"a\": 1}}; {\"name\": \"now\", \"parameters\": {}}"}};
  for (const auto& [format, text] : texts) {
    const Grammar any = tool_call_grammar(format, tools).value();
    EXPECT_TRUE(matches(any, text)) << text;
    EXPECT_FALSE(matches(any, text + " and so on"));
    EXPECT_FALSE(matches(any, "Sure."));
    std::string wrong = text;
    wrong.replace(wrong.find('1'), 1, "\"x\"");
    EXPECT_FALSE(matches(any, wrong)) << wrong;
    EXPECT_FALSE(matches(tool_call_grammar(format, tools, {.most_calls = 1}).value(), text));
    EXPECT_FALSE(matches(tool_call_grammar(format, tools, {.only = "now"}).value(), text));
    const ChatMessage message = read(format, text);
    ASSERT_EQ(message.tool_calls.size(), 2U);
    EXPECT_EQ(message.tool_calls[0].arguments, "{\"a\": 1}");
    EXPECT_EQ(message.text(), "");
  }
  EXPECT_ERROR_SAYS(tool_call_grammar(ToolCallFormat::kHermes, {}), "there are no tools");
  EXPECT_ERROR_SAYS(tool_call_grammar(ToolCallFormat::kHermes, tools, {.only = "mul"}),
                    "there is no tool 'mul'");
}

// Where the model may also answer, the arguments of strict tools hold, and those of others need be
// no more than an object.
TEST(ToolGrammar, StrictToolsHoldWhereTheModelMayAnswer) {
  const auto tools = parse_chat_tools(R"([
      {"type": "function", "function": {"name": "add", "strict": true, "parameters": {
        "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": false}}},
      {"type": "function", "function": {"name": "now", "parameters": {
        "type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}}}])")
                         .value();
  EXPECT_TRUE(is_strict(tools[0]));
  EXPECT_FALSE(is_strict(tools[1]));
  const std::vector<std::pair<ToolCallFormat, std::string>> forms = {
      {ToolCallFormat::kHermes,
       "<tool_call>\n{{\"name\": \"{}\", \"arguments\": {}}}\n</tool_call>"},
      {ToolCallFormat::kMistral, "[TOOL_CALLS][{{\"name\": \"{}\", \"arguments\": {}}}]"},
      {ToolCallFormat::kLlama, "{{\"name\": \"{}\", \"parameters\": {}}}"}};
  for (const auto& [format, form] : forms) {
    const Grammar grammar = answer_or_calls_grammar(format, tools, {.strict_only = true}).value();
    const auto call = [&form = form](const char* name, const char* arguments) {
      return fmt::format(fmt::runtime(form), name, arguments);
    };
    EXPECT_TRUE(matches(grammar, ""));
    EXPECT_TRUE(matches(grammar, "Well: <tool_c [TOOL_CALL {} and so on"));
    EXPECT_TRUE(matches(grammar, call("add", "{\"a\": 1}"))) << form;
    EXPECT_FALSE(matches(grammar, call("add", "{\"a\": \"1\"}"))) << form;
    EXPECT_FALSE(matches(grammar, call("add", "{}"))) << form;
    EXPECT_FALSE(matches(grammar, call("mul", "{}"))) << form;
    EXPECT_TRUE(matches(grammar, call("now", "{\"b\": \"1\"}"))) << form;
    EXPECT_TRUE(matches(grammar, "Let me look.\n" + call("add", "{\"a\": 1}"))) << form;
    // In Llama's form that is no call, but words.
    const bool words = format == ToolCallFormat::kLlama;
    EXPECT_EQ(matches(grammar, "Let me look.\n" + call("add", "{}")), words) << form;
  }
}

}  // namespace
}  // namespace looplm
