"""Runs lm-eval against a running `looplm serve` of the bundled model, and `looplm eval` beside it.

    looplm serve models/small --port 8080
    $(tools/clients more) tests/clients/lm_eval_client.py http://127.0.0.1:8080 build/release/looplm

Both read the same local files: a choice among texts by likelihood, the likelihood of a text, and an
answer in writing. The numbers must agree.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import lm_eval  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

url, looplm = sys.argv[1], sys.argv[2]
root = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 60

TASKS = {
    "gloss_choice": """
output_type: multiple_choice
doc_to_text: "{{word}}:"
doc_to_choice: "{{choices}}"
target_delimiter: " "
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "sums_written": """
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: "{{completion}}"
generation_kwargs: {until: [], max_gen_toks: 1, temperature: 0}
metric_list: [{metric: exact_match}]
""",
}
DATA = {"gloss_choice": "tasks/data/glosses.jsonl", "sums_written": "models/recipe/held-out.jsonl"}

with tempfile.TemporaryDirectory() as folder:
    for name, text in TASKS.items():
        # lm-eval reads whole columns, so the file holds only what the task names.
        rows = [json.loads(line) for line in open(root / DATA[name])][:LIMIT]
        names = {"gloss_choice": ["word", "choices", "answer"], "sums_written": ["prompt", "completion"]}[name]
        data = pathlib.Path(folder, name + ".jsonl")
        data.write_text("".join(json.dumps({key: row[key] for key in names}) + "\n" for row in rows))
        pathlib.Path(folder, name + ".yaml").write_text(
            f"task: looplm_{name}\ndataset_path: json\n"
            f"dataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\n{text}")
    theirs = lm_eval.simple_evaluate(
        model="local-completions",
        model_args={"base_url": url + "/v1/completions", "model": "small", "tokenizer_backend": "remote",
                    "max_length": 512, "max_retries": 1},
        tasks=["looplm_" + name for name in TASKS], task_manager=TaskManager(include_path=folder),
        batch_size=8, bootstrap_iters=0)["results"]

ours = json.loads(subprocess.run(
    [looplm, "eval", str(root / "models/small"), *TASKS, "--loops", "4", "--limit", str(LIMIT), "--resamples", "0", "--json"],
    check=True, capture_output=True, text=True).stdout)
for task in ours["tasks"]:
    row = next(r for r in task["rows"] if r["exit"] == "fixed" and r["loops"] == 4)
    for metric in {"gloss_choice": ["acc", "acc_norm"], "sums_written": ["exact_match"]}[task["task"]]:
        mine, other = row[metric]["value"], theirs["looplm_" + task["task"]][metric + ",none"]
        print(f"{task['task']} {metric}: looplm eval {mine:.4f}, lm-eval {other:.4f}")
        assert abs(mine - other) < 1e-9
print("ok")
