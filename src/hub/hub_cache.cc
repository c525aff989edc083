#include "hub/hub_cache.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "base/directory.h"
#include "base/file.h"
#include "base/gguf_name.h"
#include "hub/model_files.h"

namespace looplm {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModels = "models--";

std::string folder_name(const std::string& model) {
  return kModels + std::string(model).replace(model.find('/'), 1, "--");
}

// "ORG/NAME" of "models--ORG--NAME"; empty for other folders.
std::string model_of(const std::string& folder) {
  if (!folder.starts_with(kModels)) return "";
  std::string name = folder.substr(std::strlen(kModels));
  const size_t dashes = name.find("--");
  if (dashes == std::string::npos) return "";
  name.replace(dashes, 2, "/");
  return hub_reference(name).has_value() ? name : "";
}

uint64_t size_of(const fs::path& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

// The blob that a snapshot's file links to; empty where it is no link.
std::string blob_of(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return error ? "" : target.filename().string();
}

// All parts of the GGUF model, and of `files` those beside it that are its alone.
std::set<std::string> files_of_gguf(const std::string& gguf, const std::set<std::string>& files) {
  const std::vector<std::string> parts = gguf_parts(gguf);
  std::set<std::string> all(parts.begin(), parts.end());
  const std::vector<std::string> models = gguf_models(files);
  const auto shares = [&](const std::string& model) {
    return model != gguf && gguf_model_stem(model) == gguf_model_stem(gguf);
  };
  if (std::any_of(models.begin(), models.end(), shares)) return all;
  for (const std::string& beside : {gguf_gate_file(gguf), gguf_guess_file(gguf)}) {
    if (files.contains(beside)) all.insert(beside);
  }
  return all;
}

}  // namespace

std::set<std::string> files_under(const std::string& folder) {
  std::set<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code of_this;
    if (at->is_regular_file(of_this)) {
      files.insert(at->path().lexically_relative(folder).generic_string());
    }
  }
  return files;
}

std::string HubCache::folder(const std::string& model) const {
  return directory_ + "/" + folder_name(model);
}
std::string HubCache::blob_path(const std::string& model, const std::string& etag) const {
  return folder(model) + "/blobs/" + etag;
}
std::string HubCache::lock_path(const std::string& model, const std::string& etag) const {
  return directory_ + "/.locks/" + folder_name(model) + "/" + etag + ".lock";
}
std::string HubCache::snapshot_path(const std::string& model, const std::string& commit) const {
  return folder(model) + "/snapshots/" + commit;
}

std::string HubCache::commit_of(const HubReference& reference) const {
  if (is_hex(reference.revision, 40)) return reference.revision;
  const std::string path = folder(reference.name) + "/refs/" + reference.revision;
  if (!file_exists(path)) return "";
  const Result<std::string> text = read_text_file(path);
  if (!text.ok()) return "";
  const std::string commit = text.value().substr(0, text.value().find_last_not_of(" \n") + 1);
  return is_hex(commit, 40) ? commit : "";
}

Result<std::string> HubCache::find(const HubReference& reference) const {
  const std::string commit = commit_of(reference);
  const std::string snapshot = snapshot_path(reference.name, commit);
  if (commit.empty() || !is_directory(snapshot)) {
    return not_found(fmt::format("'{}' is not in '{}'", reference.text(), directory_));
  }
  LOOPLM_ASSIGN_OR_RETURN(
      const ModelFiles files,
      choose_model_files(
          files_under(snapshot), reference.file,
          [&] { return read_text_file(snapshot + "/model.safetensors.index.json"); },
          fmt::format("'{}' in '{}'", reference.name, directory_)));
  return files.gguf.empty() ? snapshot : snapshot + "/" + files.gguf;
}

std::string HubCache::name_of(const std::string& path) {
  const size_t at = path.rfind("/snapshots/");
  if (at == std::string::npos) return "";
  const std::string model = model_of(fs::path(path.substr(0, at)).filename().string());
  if (model.empty()) return "";
  const size_t behind = path.find('/', at + std::strlen("/snapshots/"));
  const std::string file = behind == std::string::npos ? "" : path.substr(behind + 1);
  return file.empty() ? model : model + ":" + file;
}

Status HubCache::link(const std::string& model, const std::string& commit,
                      const HubFile& file) const {
  const fs::path place = fs::path(snapshot_path(model, commit)) / file.path;
  if (blob_of(place) == file.etag) return {};
  LOOPLM_RETURN_IF_ERROR(make_directories(place.parent_path().string()));
  const fs::path target =
      fs::path(blob_path(model, file.etag)).lexically_relative(place.parent_path());
  std::error_code error;
  fs::path temporary;
  for (int attempt = 1; attempt == 1 || error == std::errc::file_exists; ++attempt) {
    temporary = place.string() + fmt::format(".{}.{}.tmp", ::getpid(), attempt);
    fs::create_symlink(target, temporary, error);
  }
  if (!error) fs::rename(temporary, place, error);
  if (error) {
    return io_error(
        fmt::format("cannot link '{}' to its blob: {}", place.string(), error.message()));
  }
  return {};
}

Status HubCache::set_revision(const std::string& model, const std::string& revision,
                              const std::string& commit) const {
  if (revision == commit) return {};
  const fs::path path = fs::path(folder(model)) / "refs" / revision;
  LOOPLM_RETURN_IF_ERROR(make_directories(path.parent_path().string()));
  return write_text_file(path.string(), commit);
}

std::vector<CachedModel> HubCache::list() const {
  std::vector<CachedModel> models;
  const Result<std::vector<std::string>> folders = list_directory(directory_);
  if (!folders.ok()) return models;
  for (const std::string& folder : folders.value()) {
    const std::string name = model_of(folder);
    const fs::path place = fs::path(directory_) / folder;
    if (name.empty() || !is_directory(place.string())) continue;
    CachedModel whole{.name = name};
    std::error_code error;
    for (const std::string& file : files_under(place.string())) {
      const bool blob = file.starts_with("blobs/");
      if (blob || !fs::is_symlink(place / file, error)) whole.bytes += size_of(place / file);
    }
    const std::string snapshot = snapshot_path(name, commit_of({name}));
    const std::set<std::string> files = files_under(snapshot);
    const Result<std::string> found = find({name});
    const std::vector<std::string> ggufs = gguf_models(files);
    const bool one = found.ok() && !found.value().ends_with(".gguf");
    if (!one && !ggufs.empty()) {
      for (const std::string& gguf : ggufs) {
        CachedModel model{.name = name + ":" + gguf};
        for (const std::string& file : files_of_gguf(gguf, files)) {
          model.bytes += size_of(fs::path(snapshot) / file);
        }
        if (!find({name, "main", gguf}).ok()) model.state = CachedModel::State::kIncomplete;
        models.push_back(model);
      }
      continue;
    }
    if (!found.ok()) {
      const std::set<std::string> all = files_under(place.string());
      const bool coming = files.empty() || files.contains("model.safetensors.index.json") ||
                          std::any_of(all.begin(), all.end(), [](const std::string& file) {
                            return file.ends_with(".incomplete");
                          });
      whole.state = coming ? CachedModel::State::kIncomplete : CachedModel::State::kForeign;
    }
    models.push_back(whole);
  }
  std::sort(models.begin(), models.end(),
            [](const CachedModel& a, const CachedModel& b) { return a.name < b.name; });
  return models;
}

Result<uint64_t> HubCache::remove(const HubReference& reference) const {
  if (reference.revision != "main") {
    return invalid_argument(
        fmt::format("'{}' names a revision; expected ORG/NAME, for all revisions, or ORG/NAME:FILE",
                    reference.text()));
  }
  const fs::path root = folder(reference.name);
  if (!is_directory(root.string())) {
    return not_found(fmt::format("'{}' is not in '{}'", reference.name, directory_));
  }
  // Held until the end, so that no one begins to fetch what is being removed.
  std::vector<FileLock> locks;
  std::error_code error;
  const fs::path lock_folder = fs::path(lock_path(reference.name, "x")).parent_path();
  std::vector<std::string> lock_files;
  if (is_directory(lock_folder.string())) {
    LOOPLM_ASSIGN_OR_RETURN(lock_files, list_directory(lock_folder.string()));
  }
  for (const std::string& name : lock_files) {
    LOOPLM_ASSIGN_OR_RETURN(std::optional<FileLock> lock, FileLock::try_lock(lock_folder / name));
    if (!lock.has_value()) {
      return io_error(fmt::format("'{}' is being fetched by another process", reference.name));
    }
    locks.push_back(std::move(*lock));
  }
  std::set<std::string> doomed;  // blobs
  if (reference.file.empty()) {
    if (is_directory((root / "blobs").string())) {
      LOOPLM_ASSIGN_OR_RETURN(const std::vector<std::string> blobs,
                              list_directory((root / "blobs").string()));
      doomed.insert(blobs.begin(), blobs.end());
    }
  } else {
    LOOPLM_ASSIGN_OR_RETURN(const std::string path, find(reference));
    const std::string snapshot = snapshot_path(reference.name, commit_of(reference));
    const std::string gguf = fs::path(path).lexically_relative(snapshot).generic_string();
    const std::set<std::string> parts = files_of_gguf(gguf, files_under(snapshot));
    std::set<std::string> others;  // blobs of other files, in any snapshot
    for (const std::string& file : files_under((root / "snapshots").string())) {
      const bool part = parts.contains(file.substr(file.find('/') + 1));
      const fs::path link = root / "snapshots" / file;
      (part ? doomed : others).insert(blob_of(link));
      if (part) fs::remove(link, error);
    }
    std::erase_if(doomed,
                  [&](const std::string& blob) { return blob.empty() || others.contains(blob); });
  }
  uint64_t freed = 0;
  if (reference.file.empty()) {
    // The names go first: a removal that is cut off leaves no model that looks whole.
    fs::remove_all(root / "refs", error);
    fs::remove_all(root / "snapshots", error);
  }
  for (const std::string& blob : doomed) {
    const uint64_t size = size_of(root / "blobs" / blob);
    if (fs::remove(root / "blobs" / blob, error)) freed += size;
  }
  if (reference.file.empty()) {
    fs::remove_all(root, error);
    if (error) {
      return io_error(fmt::format("cannot remove '{}': {}", root.string(), error.message()));
    }
    fs::remove_all(lock_folder, error);
  }
  return freed;
}

}  // namespace looplm
