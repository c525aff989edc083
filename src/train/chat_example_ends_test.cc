// What of a chat is learnt where its answers end.
#include <gmock/gmock.h>

#include "train/test_chat_shard.h"

namespace looplm {
namespace {

using testing::HasSubstr;

TEST_F(ChatExampleTest, ATurnOfSeveralPartsIsLearntToItsEnd) {
  const char* parts =
      "{% for m in messages %}[{{ m.role }}]{% if m.reasoning_content and loop.last %}"
      "{{ m.reasoning_content }}<|end|>[answer]{% endif %}{{ m.content }}<|end|>\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_EQ(built(R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", )"
                  R"("reasoning": "the cat", "content": "yes"}]})",
                  parts),
            "[user]hi<|end|>\n[assistant]{the cat<|end|>[answer]yes<|end|>}\n");
}

// Else what the tool said would be learnt, up to the next end of the usual kind.
TEST_F(ChatExampleTest, ACallMayHaveAnEndOfItsOwn) {
  const char* calls =
      "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if m.tool_calls %}"
      "{{ m.tool_calls[0].function.arguments | tojson }}<|call|>{% else %}<|end|>{% endif %}\n\n"
      "{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  const std::string messages =
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "",)"
      R"( "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},)"
      R"( {"role": "tool", "content": "2"}, {"role": "assistant", "content": "yes")";
  EXPECT_EQ(built(messages + "}]}", calls),
            "[user]hi<|end|>\n[assistant]{{\"a\": "
            "1}<|call|>\n}[tool]2<|end|>\n[assistant]{yes<|end|>}\n");
  EXPECT_EQ(
      built(messages + R"(, "weight": 0}]})", calls),
      "[user]hi<|end|>\n[assistant]{{\"a\": 1}<|call|>\n}[tool]2<|end|>\n[assistant]yes<|end|>\n");
}

// A turn that nothing ends before another message's words.
TEST_F(ChatExampleTest, ATurnWithoutAnEndIsNoReasonToLearnTheNextMessage) {
  EXPECT_THAT(
      built(R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", )"
            R"("content": "yes"}, {"role": "user", "content": "so"}, {"role": "assistant", )"
            R"("content": "no", "weight": 0}]})",
            "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
            "{% if loop.last and m.role == 'assistant' %}<|end|>{% endif %}\n"
            "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"),
      HasSubstr("differently when the chat goes on"));
}

// A template whose {% generation %} leaves out the end, and one (as GLM's) whose turns only the
// next one's first token ends. Without these the model would never learn to stop.
TEST_F(ChatExampleTest, TheTokenBehindAnAnswerIsLearntAsItsEnd) {
  const char* outside =
      "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}"
      "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|end|>\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_EQ(built(kChat, outside), built(kChat, kMarked));
  EXPECT_EQ(without_end_, 0);
  const char* next =
      "{% for m in messages %}<|end|>[{{ m.role }}]{{ m.content }}{% endfor %}"
      "{% if add_generation_prompt %}<|end|>[assistant]{% endif %}";
  EXPECT_EQ(built(kChat, next),
            "<|end|>[user]hi<|end|>[assistant]{yes<|end|>}[user]so<|end|>[assistant]{no<|end|>}");
  EXPECT_EQ(without_end_, 0);
  const char* none =
      "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_EQ(built(kChat, none), "[user]hi\n[assistant]{yes\n}[user]so\n[assistant]{no\n<|end|>}");
  EXPECT_EQ(without_end_, 1);
}

TEST_F(ChatExampleTest, AMarkedPartBeforeTheLastNeedsNoEnd) {
  const std::string parts =
      "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}think"
      "{% endgeneration %}[answer]{% generation %}{{ m.content }}END{% endgeneration %}"
      "{% else %}{{ m.content }}<|end|>{% endif %}{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  const auto ended_by = [&](const std::string& end) {
    std::string text = parts;
    return text.replace(text.find("END"), 3, end);
  };
  EXPECT_THAT(built(kChat, ended_by("<|end|>")), HasSubstr("{think}[answer]{yes<|end|>}[user]"));
  EXPECT_EQ(without_end_, 0);
  EXPECT_THAT(built(kChat, ended_by("")), HasSubstr("{think}[answer]{yes}[user]"));
  EXPECT_EQ(without_end_, 1);
}

// GLM's reasoning is written behind the last question alone.
TEST_F(ChatExampleTest, ATurnThatTheNextOneEndsMayChangeItsReasoning) {
  const char* next =
      "{% for m in messages %}<|end|>[{{ m.role }}]{% if m.reasoning_content and loop.last %}"
      "{{ m.reasoning_content }}{% endif %}{{ m.content }}{% endfor %}"
      "{% if add_generation_prompt %}<|end|>[assistant]{% endif %}";
  EXPECT_EQ(
      built(R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant",)"
            R"( "content": "aa", "reasoning_content": "rr"}, {"role": "user", "content": "so"},)"
            R"( {"role": "assistant", "content": "no", "reasoning_content": "tt"}]})",
            next),
      "<|end|>[user]hi<|end|>[assistant]{aa<|end|>}[user]so<|end|>[assistant]{ttno<|end|>}");
}

TEST_F(ChatExampleTest, WhiteSpaceBehindAnAnswerIsNobodyElsesWords) {
  const char* changes =
      "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' and loop.last %}<think>"
      "{% endif %}{{ m.content }}<|end|>\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_EQ(
      built(R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": )"
            R"("yes \n"}, {"role": "user", "content": "so"}, {"role": "assistant", "content": )"
            R"("no"}]})",
            changes),
      "[user]hi<|end|>\n[assistant]{yes \n<|end|>}\n[user]so<|end|>\n[assistant]{<think>no<|end|>}"
      "\n");
}

// Reasoning is written behind the last user alone, and the usual token ends the last turn alone.
TEST_F(ChatExampleTest, ATurnWithReasoningThatChangesIsNotLearntWithOthersWords) {
  const std::string ends_last =
      "{% for m in messages %}[{{ m.role }}]{% if m.reasoning_content and loop.last %}"
      "{{ m.reasoning_content }}{% endif %}{{ m.content }}"
      "{% if loop.last and m.role == 'assistant' %}<|end|>{% endif %}\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  const std::string chat =
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "aa",)"
      R"( "reasoning_content": "rr"}, {"role": "user", "content": "SECRET"},)"
      R"( {"role": "assistant", "content": "no", "weight": 0}]})";
  EXPECT_THAT(built(chat, ends_last), HasSubstr("differently when the chat goes on"));
  // The user's turn has the usual end, too.
  const std::string ends_user =
      "{% for m in messages %}[{{ m.role }}]{% if m.reasoning_content and loop.last %}"
      "{{ m.reasoning_content }}{% endif %}{{ m.content }}"
      "{% if loop.last or m.role == 'user' %}<|end|>{% endif %}\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_THAT(built(chat, ends_user), HasSubstr("differently when the chat goes on"));
  // Where each turn has an end, the answer is learnt up to its own.
  const std::string ends_all =
      "{% for m in messages %}[{{ m.role }}]{% if m.reasoning_content and loop.last %}"
      "{{ m.reasoning_content }}<|end|>{% endif %}{{ m.content }}<|end|>\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_EQ(built(chat, ends_all),
            "[user]hi<|end|>\n[assistant]{aa<|end|>}\n[user]SECRET<|end|>\n[assistant]no<|end|>\n");
}

TEST_F(ChatExampleTest, ACallWithAnEndOfItsOwnIsNotLearntWithTheToolsWords) {
  const char* calls =
      "{% for m in messages %}[{{ m.role }}]{% if m.reasoning_content and loop.index0 > "
      "messages | length - 3 %}{{ m.reasoning_content }}{% endif %}{{ m.content }}"
      "{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments | tojson }}<|call|>{% else %}"
      "{% if m.role == 'assistant' %}<|end|>{% endif %}{% endif %}\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_THAT(
      built(
          R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "",)"
          R"( "reasoning_content": "rr", "tool_calls": [{"type": "function", "function": )"
          R"({"name": "f", "arguments": "{\"a\": 1}"}}]}, {"role": "tool", "content": "SECRET"},)"
          R"( {"role": "assistant", "content": "yes", "weight": 0}]})",
          calls),
      HasSubstr("differently when the chat goes on"));
}

TEST_F(ChatExampleTest, OnlyASpecialTokenOfTheTemplateEndsAnAnswer) {
  OrderedJson file = OrderedJson::parse(json_);
  file["added_tokens"].push_back({{"id", 500},
                                  {"content", "</call>"},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", false}});
  tokenizer_ = Tokenizer::parse(file.dump(), "test").value();
  const char* next =
      "{% for m in messages %}<|end|>[{{ m.role }}]{{ m.content }}{% if m.role == 'assistant' %}"
      "</call>{% endif %}{% endfor %}{% if add_generation_prompt %}<|end|>[assistant]{% endif %}";
  EXPECT_EQ(built(kChat, next),
            "<|end|>[user]hi<|end|>[assistant]{yes</call><|end|>}[user]so<|end|>[assistant]"
            "{no</call><|end|>}");
  const char* bare =
      "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_EQ(built(R"({"messages": [{"role": "user", "content": "hi"},)"
                  R"( {"role": "assistant", "content": "a</call>"}]})",
                  bare),
            "[user]hi[assistant]{a</call><|end|>}");
}

TEST_F(ChatExampleTest, WhiteSpaceMayStandBeforeAnEndOutsideTheMark) {
  const std::string marked =
      "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}"
      "{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}";
  EXPECT_EQ(built(kChat, (marked + "{{ '\\n<|end|>' }}{% endfor %}")),
            "[user]hi\n<|end|>[assistant]{yes\n<|end|>}[user]so\n<|end|>[assistant]{no\n<|end|>}");
  EXPECT_EQ(without_end_, 0);
  EXPECT_EQ(built(kChat, (marked + "{{ '\\n' }}{% endfor %}")),
            "[user]hi\n[assistant]{yes}\n[user]so\n[assistant]{no\n<|end|>}");
  EXPECT_EQ(without_end_, 1);
}

// Each is an answer with an end of its own, or the template decides.
TEST_F(ChatExampleTest, TwoAnswersInARowAreBothLearnt) {
  const char* row =
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"},)"
      R"( {"role": "assistant", "content": "so"}, {"role": "user", "content": "aa"},)"
      R"( {"role": "assistant", "content": "no"}]})";
  EXPECT_EQ(built(row, kUnmarked),
            "[user]hi<|end|>\n[assistant]{yes<|end|>}\n[assistant]{so<|end|>}\n[user]aa<|end|>\n"
            "[assistant]{no<|end|>}\n");
  EXPECT_EQ(built(row, kMarked), built(row, kUnmarked));
  const std::string joins =
      "{% for m in messages %}{% if loop.index0 == 0 or messages[loop.index0 - 1].role != m.role %}"
      "[{{ m.role }}]{% endif %}{{ m.content }}"
      "{% if loop.last or messages[loop.index0 + 1].role != m.role %}<|end|>\n{% endif %}{% endfor "
      "%}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_THAT(built(row, joins), HasSubstr("a.jsonl:1: the chat template writes what stands before "
                                           "the end of message 1 differently"));
  const std::string refuses =
      "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
      "{{ raise_exception('roles must alternate') }}{% endif %}[{{ m.role }}]{{ m.content }}<|end|>"
      "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
  EXPECT_THAT(built(row, refuses), HasSubstr("a.jsonl:1: chat template: line 1: roles must "));
}

}  // namespace
}  // namespace looplm
