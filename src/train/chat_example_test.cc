#include <gmock/gmock.h>

#include "train/test_chat_shard.h"

namespace looplm {
namespace {

using testing::HasSubstr;

TEST_F(ChatExampleTest, LearnsTheAssistantsTurnsAndTheirEnds) {
  const char* expected =
      "[user]hi<|end|>\n[assistant]{yes<|end|>}\n"
      "[user]so<|end|>\n[assistant]{no<|end|>}\n";
  EXPECT_EQ(built(kChat, kMarked), expected);
  EXPECT_EQ(built(kChat, kUnmarked), expected);
}

// As ShareGPT's and Anthropic's files have it.
TEST_F(ChatExampleTest, ASystemFieldIsTheFirstMessage) {
  const std::string chat =
      R"({"system": "be kind", "conversations": [{"from": "human", "value": "hi"},)"
      R"( {"from": "gpt", "value": "yes"}]})";
  EXPECT_EQ(built(chat, kMarked),
            "[system]be kind<|end|>\n[user]hi<|end|>\n[assistant]{yes<|end|>}\n");
  EXPECT_EQ(built(chat, kUnmarked), built(chat, kMarked));
  EXPECT_THAT(built(R"({"system": "", )" + std::string(kChat + 1), kMarked), HasSubstr("[user]hi"));
  EXPECT_THAT(built(R"({"system": 3, )" + std::string(kChat + 1), kMarked),
              HasSubstr("field 'system' is 3; expected a string"));
  EXPECT_THAT(built(R"({"system": "a", "messages": [{"role": "system", "content": "b"},)"
                    R"( {"role": "assistant", "content": "c"}]})",
                    kMarked),
              HasSubstr("both a field 'system' and a system message in messages[0]"));
}

TEST_F(ChatExampleTest, WithoutATemplateAllThatFollowsThePromptIsLearnt) {
  end_token_.reset();
  EXPECT_EQ(
      built(
          R"({"messages": [{"role": "user", "content": "the cat"}, {"role": "assistant", "content": "and"}]})"
          "\n",
          ""),
      "User: the cat\nAssistant:{ and\n}");
}

// Else the model would never learn to stop.
TEST_F(ChatExampleTest, WithoutATemplateATurnEndsWithTheEndOfText) {
  eos_token_ = "<|end|>";
  EXPECT_EQ(built(kChat, ""),
            "User: hi\nAssistant:{ yes<|end|>}\nUser: so\nAssistant:{ no<|end|>}\n");
}

TEST_F(ChatExampleTest, ReadsShareGptsToolRoles) {
  const char* tools =
      "{% for m in messages %}[{{ m.role }}]{% if m.tool_calls %}{% for c in m.tool_calls %}"
      "{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{% endif %}"
      "{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_EQ(
      built(
          R"({"tools": "[]", "conversations": [{"from": "human", "value": "hi"},)"
          R"( {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"a\": 1}}"},)"
          R"( {"from": "observation", "value": "2"}, {"from": "gpt", "value": "yes"}]})",
          tools),
      "[user]hi<|end|>\n[assistant]{f{\"a\": 1}<|end|>}\n[tool]2<|end|>\n"
      "[assistant]{yes<|end|>}\n");
  const std::string broken = R"({"conversations": [{"from": "function_call", "value": "f 1"}]})";
  EXPECT_THAT(built(broken, tools), HasSubstr("a.jsonl:1: conversations[0].value"));
  // Else the model would learn calls that nobody can read; one that is only read may be so.
  const auto call = [&](const std::string& arguments, const std::string& weight) {
    return built(R"({"messages": [{"role": "user", "content": "hi"}, )"
                 R"({"role": "assistant", "content": "", )" +
                     weight + R"("tool_calls": [{"function": {"name": "f", "arguments": )" +
                     arguments + R"(}}]}, {"role": "assistant", "content": "yes"}]})",
                 tools);
  };
  for (const char* arguments : {R"("a = 1")", R"("[1]")", R"("{\"a\": 1")"}) {
    EXPECT_THAT(call(arguments, ""),
                HasSubstr(std::string("messages[1].tool_calls[0].function.arguments is ") +
                          arguments + "; expected a JSON object"));
    EXPECT_THAT(call(arguments, R"("weight": 0, )"), HasSubstr("{yes<|end|>}"));
  }
  EXPECT_EQ(call(R"("{\"a\": 1}")", ""), call(R"({"a": 1})", ""));
}

TEST_F(ChatExampleTest, ReasoningThatTheTemplateDoesNotWriteIsCounted) {
  const std::string chats =
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "reasoning": " the cat\n", "content": "a"}]})"
      "\n"
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "b"}]})"
      "\n"
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "reasoning": "the cat", "content": "c", "weight": 0},)"
      R"( {"role": "user", "content": "so"}, {"role": "assistant", "content": "d"}]})";
  EXPECT_THAT(built(chats, kUnmarked), HasSubstr("{a<|end|>}"));
  EXPECT_EQ(without_reasoning_, 1);
  const char* writes =
      "{% for m in messages %}[{{ m.role }}]{% if m.reasoning_content %}<{{ m.reasoning_content | "
      "trim }}>"
      "{% endif %}{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}[assistant]{% "
      "endif %}";
  EXPECT_THAT(built(chats, writes), HasSubstr("{<the cat>a<|end|>}"));
  EXPECT_EQ(without_reasoning_, 0);
}

TEST_F(ChatExampleTest, PlainPromptsAreCounted) {
  const std::string lines = R"({"prompt": "the", "completion": "cat"})"
                            "\n"
                            R"({"text": "the dog"})"
                            "\n";
  built(lines + kChat, kUnmarked);
  EXPECT_EQ(plain_prompts_, 1);
}

TEST_F(ChatExampleTest, ToolsMayLackTheObjectAroundThem) {
  const char* chat =
      "{% for t in tools %}({{ t | tojson }}){% endfor %}{% for m in messages %}"
      "[{{ m.role }}]{{ m.content }}<|end|>\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  const auto shown = [&](const std::string& tools) {
    return built(R"({"tools": )" + tools +
                     R"(, "conversations": [{"from": "human", "value": "hi"},)"
                     R"( {"from": "gpt", "value": "yes"}]})",
                 chat);
  };
  const std::string whole = shown(R"([{"type": "function", "function": {"name": "f"}}])");
  EXPECT_THAT(whole, HasSubstr(R"(({"type": "function", "function": {"name": "f"}}))"));
  EXPECT_EQ(shown(R"([{"name": "f"}])"), whole);
  EXPECT_EQ(shown(R"("[{\"name\": \"f\"}]")"), whole);
  EXPECT_THAT(shown(R"([{"title": "f"}])"), HasSubstr("tools[0].type"));
}

// A prompt that opens the reasoning, and turns that were said without any.
TEST_F(ChatExampleTest, APromptThatSaysMoreThanARenderedTurnHidesNothingOfIt) {
  EXPECT_EQ(built(kChat,
                  "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>\n"
                  "{% endfor %}{% if add_generation_prompt %}[assistant]<think>{% endif %}"),
            built(kChat, kUnmarked));
}

TEST_F(ChatExampleTest, LeavesOutAndCountsCharactersWithoutAToken) {
  const std::string line = R"({"messages": [{"role": "user", "content": "h\u00e9i"},)"
                           R"( {"role": "assistant", "content": "y\u00e9s"}]})";
  std::string json = vocabulary_without("\u00c3");
  tokenizer_ = Tokenizer::parse(json, "test").value();
  EXPECT_THAT(built(line, kMarked), HasSubstr("a.jsonl:1"));
  allow_loss_ = true;
  EXPECT_EQ(built(line, kMarked), "[user]hi<|end|>\n[assistant]{ys<|end|>}\n");
  EXPECT_EQ(lost_bytes_, 4);
}

// Neither where the template itself has such characters, nor where the characters of a special
// token have no tokens of their own.
TEST_F(ChatExampleTest, SpecialTokensOfTheTemplateOutliveALoss) {
  const std::string line = R"({"messages": [{"role": "user", "content": "h\u00e9i"},)"
                           R"( {"role": "assistant", "content": "yes"}]})";
  OrderedJson file = OrderedJson::parse(vocabulary_without("\u00c3"));
  for (const char* byte : {"<", "|"}) EXPECT_EQ(file["model"]["vocab"].erase(byte), 1u);
  tokenizer_ = Tokenizer::parse(file.dump(), "test").value();
  allow_loss_ = true;
  EXPECT_EQ(built(line, kMarked), "[user]hi<|end|>\n[assistant]{yes<|end|>}\n");
  EXPECT_EQ(lost_bytes_, 2);
  const std::string accents = std::string("\u00e9<|end|>") + kMarked;
  EXPECT_EQ(built(line, accents), "<|end|>[user]hi<|end|>\n[assistant]{yes<|end|>}\n");
  EXPECT_EQ(lost_bytes_, 4);
}

TEST_F(ChatExampleTest, ReadsShareGpt) {
  EXPECT_EQ(built(R"({"conversations": [{"from": "human", "value": "hi"},)"
                  R"( {"from": "gpt", "value": "yes"}]})",
                  kUnmarked),
            "[user]hi<|end|>\n[assistant]{yes<|end|>}\n");
  EXPECT_THAT(built(R"({"conversations": [{"from": "robot", "value": "hi"}]})", kMarked),
              HasSubstr(R"(a.jsonl:1: conversations[0].from is "robot"; expected)"));
}

TEST_F(ChatExampleTest, TheEndOfTurnInAUsersOrAssistantsTextIsText) {
  const std::string line = R"({"messages": [{"role": "user", "content": "<|end|>"},)"
                           R"( {"role": "assistant", "content": "a<|end|>b"}]})";
  EXPECT_EQ(built(line, kUnmarked), "[user]<|end|><|end|>\n[assistant]{a<|end|>b<|end|>}\n");
}

TEST_F(ChatExampleTest, NamesTheLineOfABadChat) {
  const std::string good = std::string(kChat) + "\n";
  const auto error = [&](const std::string& line, const char* text = kMarked) {
    return built(good + line, text);
  };
  EXPECT_THAT(error(R"({"messages": [{"role": "bot", "content": "x"}]})"),
              HasSubstr("a.jsonl:2: messages[0].role"));
  EXPECT_THAT(error(R"({"messages": [{"role": "user", "content": "x"},)"
                    R"( {"role": "assistant", "content": " "}]})"),
              HasSubstr("a.jsonl:2: messages[1] is an empty assistant turn"));
  EXPECT_THAT(error(R"({"messages": [{"role": "user", "content": "x"}]})"),
              HasSubstr("a.jsonl:2: messages has no assistant turn"));
  EXPECT_THAT(error(R"({"messages": [{"role": "user", "content": "x\u0000"},)"
                    R"( {"role": "assistant", "content": "y"}]})"),
              HasSubstr("a.jsonl:2: a text with the character \\u0000"));
  EXPECT_THAT(built(kChat, "{{ raise_exception('no chats today') }}"), HasSubstr("no chats today"));
}

TEST_F(ChatExampleTest, LeavesOutAndCountsBadChats) {
  skip_bad_ = true;
  const std::string all = built(std::string(kChat) + "\n{\"messages\": 3}\n" + kChat, kMarked);
  EXPECT_EQ(skipped_, 1);
  EXPECT_EQ(all, built(std::string(kChat) + "\n" + kChat, kMarked, 1));
}

// A template that drops the earlier turns' words cannot say what is learnt.
TEST_F(ChatExampleTest, RefusesATemplateWhoseBeginningChanges) {
  EXPECT_THAT(built(kChat,
                    "{{ messages | length }}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
                    "<|end|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"),
              HasSubstr("differently when the chat goes on"));
}

// Some templates end a chat that is over with an end of text.
TEST_F(ChatExampleTest, ATemplateMayEndAChatWithMore) {
  const char* ends =
      "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>\n"
      "{% endfor %}{% if add_generation_prompt %}[assistant]{% else %}[over]{% endif %}";
  EXPECT_EQ(built(kChat, ends), built(kChat, kUnmarked) + "[over]");
}

// Else the user's words between two turns would be learnt.
TEST_F(ChatExampleTest, RefusesATemplateThatEndsOnlyTheLastTurn) {
  EXPECT_THAT(built(kChat,
                    "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
                    "{% if loop.last and m.role == 'assistant' %}<|end|>{% endif %}\n"
                    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"),
              HasSubstr("differently when the chat goes on"));
}

TEST_F(ChatExampleTest, ATemplateWithoutTheAssistantsWordsSaysSo) {
  EXPECT_THAT(built(kChat,
                    "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}<|end|>"
                    "{% endif %}{% endfor %}"),
              HasSubstr("a.jsonl:1: the chat template does not write what message 1 says"));
}

TEST_F(ChatExampleTest, AnEmptyTemplateSaysSo) {
  EXPECT_THAT(built(kChat, "\n"), HasSubstr("chat template is empty"));
  EXPECT_THAT(built(kChat, "{# later #}"), HasSubstr("writes nothing"));
}

// A prompt that opens the reasoning is no reason to refuse what a plain chat may say.
TEST_F(ChatExampleTest, PreferencesUnderAPromptThatSaysMoreThanATurn) {
  const char* answers = R"({"prompt": "hi", "chosen": [{"role": "assistant", "content": "yes"}],)"
                        R"( "rejected": [{"role": "assistant", "content": "no"}]})";
  const std::string both =
      "[user]hi<|end|>\n[assistant]{yes<|end|>}\n[user]hi<|end|>\n[assistant]{no<|end|>}\n";
  for (const char* text : {kMarked, kUnmarked}) {
    std::string thinks = text;
    thinks.replace(thinks.rfind("[assistant]"), 11, "[assistant]<think>");
    EXPECT_EQ(built(answers, thinks), both);
    std::string ends = text;
    ends.replace(ends.rfind("{% endif %}"), 11, "{% else %}[over]{% endif %}");
    EXPECT_EQ(built(answers, ends),
              "[user]hi<|end|>\n[assistant]{yes<|end|>}\n[over]"
              "[user]hi<|end|>\n[assistant]{no<|end|>}\n[over]");
  }
}

TEST_F(ChatExampleTest, ReadsListsOfMessagesUnderOtherNames) {
  const std::string turn = R"({"role": "user", "content": "hi"})";
  const std::string good = R"({"role": "assistant", "content": "yes"})";
  const std::string shown = "[user]hi<|end|>\n[assistant]{yes<|end|>}\n";
  for (const char* text : {kMarked, kUnmarked}) {
    EXPECT_EQ(built("{\"conversations\": [" + turn + "," + good + "]}", text), shown);
    EXPECT_EQ(built("{\"prompt\": [" + turn + "], \"completion\": [" + good + "]}", text), shown);
    // Only the completion is learnt.
    EXPECT_EQ(built("{\"prompt\": [" + turn + "," + good + "," + turn + "], \"completion\": [" +
                        good + "]}",
                    text),
              "[user]hi<|end|>\n[assistant]yes<|end|>\n" + shown);
  }
  EXPECT_THAT(built("{\"prompt\": [" + turn + "], \"completion\": \"yes\"}", kMarked),
              HasSubstr("a.jsonl:1: 'completion' is \"yes\"; expected a list of messages"));
  EXPECT_THAT(built("{\"prompt\": [" + turn + "], \"completion\": [" + turn + "]}", kMarked),
              HasSubstr("prompt and completion has no assistant turn"));
}

TEST_F(ChatExampleTest, ToolsOfAnEmptyTextAreNone) {
  const std::string chat = kChat;
  const std::string with_tools = chat.substr(0, chat.size() - 1) + R"(, "tools": " "})";
  EXPECT_EQ(built(with_tools, kMarked), built(kChat, kMarked));
}

// There is nothing to prefer.
TEST_F(ChatExampleTest, PreferencesThatSayTheSameOrAnswerOthersAreErrors) {
  EXPECT_THAT(built(R"({"prompt": "x", "chosen": [{"role": "assistant", "content": "yes"}],)"
                    R"( "rejected": [{"role": "assistant", "content": "yes", "name": "b"}]})",
                    kMarked),
              HasSubstr("are the same"));
  EXPECT_THAT(
      built(
          R"({"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],)"
          R"( "rejected": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]})",
          kMarked),
      HasSubstr("begin with different messages"));
  EXPECT_THAT(built(R"({"prompt": "x", "chosen": "a"})", kMarked),
              HasSubstr("no field 'rejected'; expected 'prompt', 'chosen' and 'rejected'"));
  // Messages are counted from the prompt's first.
  EXPECT_THAT(built(R"({"prompt": [{"role": "user", "content": "x"}],)"
                    R"( "chosen": [{"role": "assistant", "content": ""}],)"
                    R"( "rejected": [{"role": "assistant", "content": "no"}]})",
                    kMarked),
              HasSubstr("prompt and chosen[1] is an empty assistant turn"));
}

TEST_F(ChatExampleTest, ATurnOfWeightZeroIsOnlyRead) {
  const auto line = [](const std::string& first, const std::string& second) {
    return R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": )" +
           first + R"(}, {"role": "user", "content": "so"}, {"role": "assistant", "content": )" +
           second + "}]}";
  };
  for (const char* text : {kMarked, kUnmarked}) {
    EXPECT_EQ(built(line(R"("yes", "weight": 0)", R"("no", "weight": 1)"), text),
              "[user]hi<|end|>\n[assistant]yes<|end|>\n[user]so<|end|>\n[assistant]{no<|end|>}\n");
    EXPECT_EQ(built(line(R"("yes")", R"("", "weight": 0)"), text),
              "[user]hi<|end|>\n[assistant]{yes<|end|>}\n[user]so<|end|>\n[assistant]<|end|>\n");
    EXPECT_THAT(built(line(R"("yes", "weight": 0)", R"("no", "weight": 0)"), text),
                HasSubstr("no assistant turn"));
    EXPECT_THAT(built(line(R"("yes", "weight": 0.5)", R"("no")"), text),
                HasSubstr("messages[1].weight is 0.5; expected 0 or 1"));
  }
  EXPECT_EQ(built(R"({"conversations": [{"from": "gpt", "value": "a", "weight": 0},)"
                  R"( {"from": "human", "value": "b"}, {"from": "gpt", "value": "c"}]})",
                  kMarked),
            "[assistant]a<|end|>\n[user]b<|end|>\n[assistant]{c<|end|>}\n");
}

// Both answers, one after the other.
TEST_F(ChatExampleTest, PreferencesAreTwoAnswersToAPrompt) {
  const std::string turn = R"({"role":"user","content":"hi"})";
  const std::string good = R"({"role":"assistant","content":"yes"})";
  const std::string bad = R"({"role":"assistant","content":"no"})";
  EXPECT_EQ(built(R"({"prompt":"2+2=","chosen":"4","rejected":"5"})", kMarked),
            "2+2={4<|end|>}2+2={5<|end|>}");
  const std::string answers = "\"chosen\":[" + good + "],\"rejected\":[" + bad + "]}";
  const std::string shared = turn + "," + good + "," + turn + ",";
  for (const char* text : {kMarked, kUnmarked}) {
    const std::string both =
        "[user]hi<|end|>\n[assistant]{yes<|end|>}\n[user]hi<|end|>\n[assistant]{no<|end|>}\n";
    EXPECT_EQ(built("{\"prompt\":[" + turn + "]," + answers, text), both);
    EXPECT_EQ(built("{\"prompt\":\"hi\"," + answers, text), both);
    EXPECT_EQ(
        built("{\"chosen\":[" + turn + "," + good + "],\"rejected\":[" + turn + "," + bad + "]}",
              text),
        both);
    // An earlier answer of the assistant's is part of the prompt.
    const std::string before =
        "[user]hi<|end|>\n[assistant]yes<|end|>\n[user]hi<|end|>\n[assistant]";
    EXPECT_EQ(
        built("{\"chosen\":[" + shared + good + "],\"rejected\":[" + shared + bad + "]}", text),
        before + "{yes<|end|>}\n" + before + "{no<|end|>}\n");
  }
}

TEST_F(ChatExampleTest, BadPreferencesNameFileAndLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"prompt":"a","chosen":"b"})", "rejected"},
      {R"({"chosen":"b","rejected":"c"})", "prompt"},
      {R"({"prompt":"a","chosen":"b","rejected":"b"})", "are the same"},
      {R"({"prompt":"a","chosen":"","rejected":"b"})", "'chosen' is empty"},
      {R"({"prompt":"a","chosen":4,"rejected":"b"})", "'chosen' is 4"},
      {R"({"prompt":"a","chosen":[],"rejected":[]})", "'chosen' is []"},
      {R"({"prompt":"a","chosen":["b"],"rejected":["c"]})", "chosen[0]"},
      {R"({"prompt":"a","chosen":[{"role":4,"content":"b"}],"rejected":["c"]})", "role"},
      {R"({"chosen":[{"role":"user","content":"a"}],"rejected":[{"role":"user","content":"b"}]})",
       "no assistant turn"},
      {R"({"chosen":[{"role":"bot","content":"a"}],"rejected":[{"role":"user","content":"b"}]})",
       "bot"}};
  const std::string good = R"({"prompt":"a","chosen":"b","rejected":"c"})";
  for (const auto& [line, says] : cases) {
    EXPECT_THAT(built(line, kMarked), testing::AllOf(HasSubstr("a.jsonl:1"), HasSubstr(says)));
    skip_bad_ = true;
    EXPECT_EQ(built(line + "\n" + good, kMarked), "a{b<|end|>}a{c<|end|>}");
    EXPECT_EQ(skipped_, 1);
    skip_bad_ = false;
  }
  EXPECT_THAT(built(good + "\n" + R"({"text":"plain"})", kMarked),
              testing::AllOf(HasSubstr("a.jsonl:2"), HasSubstr("pairs alone")));
}

// As TRL, axolotl and ms-swift call it.
TEST_F(ChatExampleTest, ATurnMayAlsoSayByOtherNamesThatItIsOnlyRead) {
  const auto line = [](const std::string& field) {
    return R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": )"
           R"("yes", )" +
           field +
           R"(}, {"role": "user", "content": "so"}, {"role": "assistant", "content": "no"}]})";
  };
  for (const char* field : {R"("train": false)", R"("training": 0)", R"("loss": false)"}) {
    EXPECT_EQ(built(line(field), kMarked),
              "[user]hi<|end|>\n[assistant]yes<|end|>\n[user]so<|end|>\n[assistant]{no<|end|>}\n");
  }
  EXPECT_EQ(built(line(R"("train": true, "loss": null, "weight": 1)"), kMarked),
            built(kChat, kMarked));
  EXPECT_THAT(built(line(R"("loss": 0.5)"), kMarked),
              HasSubstr("messages[1].loss is 0.5; expected 0 or 1"));
}

// What OpenAI's older form says would be lost.
TEST_F(ChatExampleTest, TheOlderFormOfToolCallsIsRefused) {
  EXPECT_THAT(built(R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", )"
                    R"("content": "so", "function_call": {"name": "f", "arguments": "{}"}}]})",
                    kMarked),
              HasSubstr("a.jsonl:1: messages[1].function_call is an older form of tool_calls"));
  const std::string chat = kChat;
  EXPECT_THAT(
      built(chat.substr(0, chat.size() - 1) + R"(, "functions": [{"name": "f"}]})", kMarked),
      HasSubstr("'functions' is an older form of 'tools'"));
}

// Reasoning as a message of its own, whose end is the same token (as in Harmony).
TEST_F(ChatExampleTest, ReadsInstructions) {
  const std::string shown = "[user]hi<|end|>\n[assistant]{yes<|end|>}\n";
  EXPECT_EQ(built(R"({"instruction": "hi", "input": "", "output": "yes"})", kMarked), shown);
  EXPECT_EQ(built(R"({"instruction": "hi", "output": "yes", "text": "all of it"})", kMarked),
            shown);
  EXPECT_EQ(built(R"({"instruction": "hi", "context": null, "response": "yes"})", kMarked), shown);
  EXPECT_EQ(built(R"({"system": "be", "instruction": "hi", "input": "so", "output": "yes",)"
                  R"( "history": [["a", "b"]]})",
                  kUnmarked),
            "[system]be<|end|>\n[user]a<|end|>\n[assistant]{b<|end|>}\n"
            "[user]hi\nso<|end|>\n[assistant]{yes<|end|>}\n");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"instruction": "hi", "output": " "})", "field 'output' is empty"},
      {R"({"instruction": 3, "output": "a"})", "field 'instruction' is 3"},
      {R"({"instruction": "hi", "input": ["a"], "output": "a"})", "field 'input' is [\"a\"]"},
      {R"({"instruction": "hi", "output": "a", "history": ["b"]})", "field 'history' holds \"b\""},
      {R"({"instruction": "hi"})", "'instruction' and 'output'"}};
  for (const auto& [line, says] : cases) {
    EXPECT_THAT(built(line, kMarked), testing::AllOf(HasSubstr("a.jsonl:1"), HasSubstr(says)));
  }
}

TEST_F(ChatExampleTest, ReadsOtherFormsOfPreferences) {
  const std::string yes = R"([{"role": "assistant", "content": "yes"}])";
  const std::string no = R"([{"role": "assistant", "content": "no"}])";
  const std::string both =
      "[user]hi<|end|>\n[assistant]{yes<|end|>}\n[user]hi<|end|>\n[assistant]{no<|end|>}\n";
  EXPECT_EQ(built(R"({"input": {"messages": [{"role": "user", "content": "hi"}], "tools": [],)"
                  R"( "parallel_tool_calls": true}, "preferred_output": )" +
                      yes + R"(, "non_preferred_output": )" + no + "}",
                  kMarked),
            both);
  EXPECT_EQ(
      built(R"({"instruction": "hi", "input": "", "chosen": "yes", "rejected": "no"})", kMarked),
      both);
  EXPECT_EQ(built(R"({"conversations": [{"from": "human", "value": "hi"}], "chosen": )"
                  R"({"from": "gpt", "value": "yes"}, "rejected": {"from": "gpt", "value": "no"}})",
                  kMarked),
            both);
  EXPECT_THAT(
      built(R"({"preferred_output": )" + yes + R"(, "non_preferred_output": )" + no + "}", kMarked),
      HasSubstr("a.jsonl:1: field 'input': 'messages' is missing"));
  EXPECT_THAT(built(R"({"input": {"messages": [{"role": "user", "content": "hi"}]},)"
                    R"( "preferred_output": )" +
                        yes + "}",
                    kMarked),
              HasSubstr("'non_preferred_output' is missing"));
  EXPECT_THAT(built(R"({"instruction": "hi", "chosen": "yes"})", kMarked),
              HasSubstr("'rejected' is missing"));
}

// Else what somebody judged bad would be learnt as good.
TEST_F(ChatExampleTest, AnswersThatWereJudgedBadAreRefused) {
  EXPECT_THAT(built(R"({"prompt": "a", "completion": "b", "label": false})", kMarked),
              HasSubstr("a.jsonl:1: field 'label' is false"));
  const std::string chat = kChat;
  EXPECT_THAT(built(chat.substr(0, chat.size() - 1) + R"(, "kto_tag": false})", kMarked),
              HasSubstr("field 'kto_tag' is false"));
  EXPECT_EQ(built(R"({"prompt": "a", "completion": "b", "label": true})", kMarked), "a{b<|end|>}");
  EXPECT_EQ(built(R"({"text": "ab", "label": false})", kMarked), "{ab<|end|>}");
}

TEST_F(ChatExampleTest, TwoFormsInOneLineAreRefused) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"prompt": "a", "completion": "b", "instruction": "c", "output": "d"})",
       "'instruction' beside 'prompt'"},
      {R"({"turns": [], "instruction": "c", "output": "d"})", "'instruction' beside 'turns'"},
      {R"({"messages": [], "instruction": "c", "output": "d"})", "'instruction' beside 'messages'"},
      {R"({"conversations": [], "instruction": "c", "output": "d"})",
       "'instruction' beside 'conversations'"},
      {R"({"messages": [], "conversations": []})", "'messages' beside 'conversations'"},
      {R"({"prompt": [], "completion": [], "text": "a"})", "'prompt' beside 'text'"},
      {R"({"instruction": "c", "output": "d", "response": "e"})", "'output' beside 'response'"},
      {R"({"prompt": "a", "chosen": "b", "rejected": "c", "instruction": "d"})",
       "'prompt' beside 'instruction'"},
      {R"({"prompt": "a", "chosen": "b", "rejected": "c", "conversations": []})",
       "'prompt' beside 'conversations'"},
      {R"({"chosen": "b", "preferred_output": [], "non_preferred_output": []})",
       "'preferred_output' beside 'chosen'"},
      {R"({"prompt": "b", "input": {}, "preferred_output": [], "non_preferred_output": []})",
       "'preferred_output' beside 'prompt'"}};
  for (const auto& [line, says] : cases) {
    EXPECT_THAT(built(line, kMarked), testing::AllOf(HasSubstr("a.jsonl:1"), HasSubstr(says)))
        << line;
  }
}

// As files of columns have them.
TEST_F(ChatExampleTest, AFieldThatIsNullIsMissing) {
  EXPECT_EQ(built(R"({"prompt": "a", "chosen": "b", "rejected": "c", "instruction": null,)"
                  R"( "conversations": null, "preferred_output": null})",
                  kMarked),
            "a{b<|end|>}a{c<|end|>}");
  EXPECT_EQ(built(R"({"text": "a", "instruction": null, "output": null, "messages": null})", ""),
            "{a<|end|>}");
  EXPECT_EQ(
      built(R"({"instruction": "hi", "output": null, "response": "yes", "prompt": null})", kMarked),
      "[user]hi<|end|>\n[assistant]{yes<|end|>}\n");
  EXPECT_EQ(built(R"({"prompt": "a", "completion": "b", "instruction": null, "label": null})", ""),
            "a{b<|end|>}");
}

TEST_F(ChatExampleTest, AnEmptyQuestionIsRefused) {
  for (const char* line :
       {R"({"instruction": "", "output": "a"})",
        R"({"instruction": " ", "input": "", "chosen": "a", "rejected": "b"})"}) {
    EXPECT_THAT(built(line, kMarked), HasSubstr("field 'instruction' is empty")) << line;
  }
}

// What a turn that is not learnt says of its loss, and a list without functions.
TEST_F(ChatExampleTest, FieldsThatSayNothingOfWhatIsLearntAreIgnored) {
  const std::string answer = R"({"role": "assistant", "content": "yes")";
  const auto line = [&](const std::string& user, const std::string& more) {
    return R"({"functions": [], "messages": [{"role": "user", "content": "hi")" + user + "}, " +
           answer + more + "}]}";
  };
  EXPECT_EQ(built(line(R"(, "loss": 1.25)", R"(, "weight": 1.0)"), kMarked),
            "[user]hi<|end|>\n[assistant]{yes<|end|>}\n");
  for (const char* loss : {"0.0", "1.0", "1.25"}) {
    EXPECT_THAT(built(line("", R"(, "loss": )" + std::string(loss)), kMarked),
                HasSubstr("messages[1].loss is " + std::string(loss) + "; expected 0 or 1"));
  }
}

TEST_F(ChatExampleTest, JudgementsConcernAnswersThatAreLearntAsGood) {
  const std::string pair = R"("chosen": "yes", "rejected": "no", "label": false})";
  EXPECT_EQ(built(R"({"prompt": "a", "completion": "c", )" + pair, kMarked),
            "a{yes<|end|>}a{no<|end|>}");
  EXPECT_THAT(built(R"({"instruction": "a", )" + pair, kMarked), HasSubstr("{yes<|end|>}"));
  for (const char* line : {R"({"prompt": "a", "completion": "b", "label": 0})",
                           R"({"turns": [{"prompt": "a", "completion": "b"}], "label": false})",
                           R"({"instruction": "a", "output": "b", "text": "c", "label": 0})"}) {
    EXPECT_THAT(built(line, kMarked),
                testing::AllOf(HasSubstr("a.jsonl:1: field 'label' is "), HasSubstr("--skip-bad")))
        << line;
  }
  EXPECT_EQ(built(R"({"text": "ab", "label": 0})", kMarked), "{ab<|end|>}");
}

TEST_F(ChatExampleTest, OtherFormsOfPreferencesKeepWhatStandsInThem) {
  EXPECT_THAT(built(R"({"input": "hi", "preferred_output": [], "non_preferred_output": []})", ""),
              HasSubstr("field 'input': 'messages' is missing"));
  EXPECT_EQ(built(R"({"conversations": [{"from": "human", "value": "hi"}], "chosen": )"
                  R"([{"from": "gpt", "value": "yes"}], "rejected": )"
                  R"([{"from": "gpt", "value": "no"}]})",
                  kMarked),
            "[user]hi<|end|>\n[assistant]{yes<|end|>}\n[user]hi<|end|>\n[assistant]{no<|end|>}\n");
  const std::string answers =
      R"("preferred_output": [{"role": "assistant", "content": "yes"}],)"
      R"( "non_preferred_output": [{"role": "assistant", "content": "no"}]})";
  const char* tools =
      "{% for t in tools %}({{ t.function.name }}){% endfor %}{% for m in messages %}"
      "[{{ m.role }}]{{ m.content }}<|end|>\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  const std::string input = R"({"tools": [{"name": "f"}], "input": {"messages": )"
                            R"([{"role": "user", "content": "hi"}])";
  EXPECT_THAT(built(input + "}, " + answers, tools), HasSubstr("(f)"));
  EXPECT_THAT(built(input + R"(, "tools": [{"name": "g"}]}, )" + answers, tools),
              HasSubstr("'tools' both in 'input' and beside it"));
}

// As UltraChat's, Magpie's and UltraFeedback's files have them.
TEST_F(ChatExampleTest, AFieldMayRepeatTheQuestionOrAnAnswer) {
  const std::string chat = std::string(kChat).substr(0, std::string(kChat).size() - 1);
  const std::string both = built(kChat, kMarked);
  const std::string sharegpt =
      R"({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}])";
  EXPECT_EQ(built(chat + R"(, "prompt": "hi\n", "prompt_id": "x"})", kMarked), both);
  EXPECT_EQ(built(chat + R"(, "prompt": "hi", "completion": "no"})", kMarked), both);
  EXPECT_EQ(built(sharegpt + R"(, "instruction": "hi", "response": "yes"})", kMarked),
            "[user]hi<|end|>\n[assistant]{yes<|end|>}\n");
  for (const char* other : {R"("prompt": "so")", R"("prompt": ["hi"])", R"("completion": "hi")",
                            R"("instruction": "hi", "output": "ye")"}) {
    EXPECT_THAT(built(chat + ", " + other + "}", kMarked),
                HasSubstr("beside 'messages', which does not repeat"))
        << other;
  }
  const std::string pair =
      R"("chosen": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}],)"
      R"( "rejected": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "no"}]})";
  EXPECT_THAT(built(R"({"prompt": "hi", )" + pair, kMarked), HasSubstr("{yes<|end|>}"));
  EXPECT_THAT(built(R"({"prompt": "so", )" + pair, kMarked),
              HasSubstr("a field 'prompt' beside 'chosen', which does not repeat its question"));
}

// Else words would be left out in silence, or learnt as what they are not.
TEST_F(ChatExampleTest, FormsWithoutAPlaceAreRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"question": "2 + 2?", "answer": "4"})", "it has 'answer', 'question'"},
      {R"({"prompt": "a", "response": "b"})", "no field 'completion'"},
      {R"({"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: b"})", "no field 'prompt'"},
      {R"({"system": "s", "question": "q", "chosen": "a", "rejected": "b"})",
       "field 'system' beside"},
      {R"({"system": "s", "prompt": "q", "completion": "b"})", "field 'system' beside texts"},
      {R"({"tools": [{"name": "f"}], "prompt": "q", "completion": "b"})",
       "field 'tools' beside texts"},
      {R"({"system_prompt": "s", "prompt": "q", "completion": "b"})",
       "field 'system_prompt' beside texts"},
      {R"({"chat_template_kwargs": {"a": 1}, "prompt": "q", "completion": "b"})",
       "field 'chat_template_kwargs' beside texts"},
      {R"({"system": "s", "turns": [{"prompt": "q", "completion": "b"}]})",
       "field 'system' beside texts"},
      {R"({"turns": [{"system": "s", "prompt": "q", "completion": "b"}]})",
       "turn 0: a field 'system' beside texts"},
      {R"({"text": "hi", "role": "prompter", "parent_id": null})",
       "a 'text' of the role \"prompter\""},
      {R"({"conversations": ["q", "a"]})", "conversations[0] is \"q\""},
      {R"({"turns": [{"role": "user", "content": "q"}]})",
       "turn 0: no field 'prompt'; expected 'prompt' and 'completion'; it has 'content', 'role'"},
      {R"({"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1})",
       "'k', 'l' and 2 more"}};
  for (const auto& [line, says] : cases) {
    EXPECT_THAT(built(line, kMarked), testing::AllOf(HasSubstr("a.jsonl:1"), HasSubstr(says)))
        << line;
  }
  EXPECT_EQ(built(R"({"system": "", "tools": [], "prompt": "a", "completion": "b"})", ""),
            "a{b<|end|>}");
}

// As OpenHermes' and smoltalk2's files have them.
TEST_F(ChatExampleTest, FieldsBesideAChatThatTheTemplateReads) {
  const std::string chat = std::string(kChat).substr(0, std::string(kChat).size() - 1);
  EXPECT_THAT(built(chat + R"(, "system_prompt": "be kind"})", kMarked),
              HasSubstr("[system]be kind<|end|>\n[user]hi"));
  EXPECT_EQ(built(R"({"system_prompt": "s", "messages": [{"role": "system", "content": "s"},)"
                  R"( {"role": "assistant", "content": "a"}]})",
                  kMarked),
            "[system]s<|end|>\n[assistant]{a<|end|>}\n");
  const std::string tone = std::string("{{ tone }}") + kMarked;
  EXPECT_THAT(built(chat + R"(, "chat_template_kwargs": {"tone": "warm"}})", tone),
              HasSubstr("warm[user]hi"));
  EXPECT_THAT(built(chat + R"(, "chat_template_kwargs": 5})", tone),
              HasSubstr("chat_template_kwargs is not an object"));
  EXPECT_THAT(built(chat + R"(, "chat_template_kwargs": {"messages": []}})", tone),
              HasSubstr("chat_template_kwargs has 'messages'"));
}

}  // namespace
}  // namespace looplm
