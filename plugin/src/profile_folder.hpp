// The profiles of the user's folder, by name; twin of realtime/learn/profile_folder.py.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "profile.hpp"

namespace gate {

// Where a user's profiles live; empty where that cannot be told.
inline std::filesystem::path profile_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value == nullptr ? "" : value);
  };
#if defined(_WIN32)
  std::filesystem::path base = variable("APPDATA");
#elif defined(__APPLE__)
  std::filesystem::path base = variable("HOME");
  if (!base.empty()) base = base / "Library" / "Application Support";
#else
  std::filesystem::path base = variable("XDG_DATA_HOME");
  if (!base.is_absolute()) {
    base = variable("HOME");
    if (!base.empty()) base = base / ".local" / "share";
  }
#endif
  return base.empty() ? base : base / "exemplar-gate" / "profiles";
}

// A profile, or why it is refused.
struct ListedProfile {
  std::string file, label;  // NAME.gate.yaml; NAME, with the reason where it is refused
  std::unique_ptr<const Profile> profile;
};

// What is in the folder now, in order of name.
class ProfileFolder {
 public:
  static constexpr size_t most = 126;

  ProfileFolder() {
    std::error_code error;
    std::vector<std::filesystem::path> found;
    std::filesystem::directory_iterator entry(profile_folder(), error), end;
    for (; !error && entry != end; entry.increment(error)) {
      std::error_code ignored;
      const std::string name = entry->path().filename().u8string();
      const bool fits = name.size() > suffix().size() && name[0] != '.' &&
                        name.compare(name.size() - suffix().size(), suffix().size(), suffix()) == 0;
      if (fits && entry->is_regular_file(ignored)) found.push_back(entry->path());
    }
    std::sort(found.begin(), found.end());
    if (found.size() > most) found.resize(most);
    for (const std::filesystem::path& path : found) listed_.push_back(read(path));
  }

  const std::vector<ListedProfile>& listed() const { return listed_; }

  // What a choice is called: 0 is none of them.
  std::string label(size_t choice) const {
    if (choice == 0) return "None";
    return choice <= listed_.size() ? listed_[choice - 1].label : "(gate-learn install adds some)";
  }

  // How many choices there are to show: two at least, as hosts expect of a list.
  size_t n_choices() const { return std::max<size_t>(2, listed_.size() + 1); }

  // The choice that is a file's; 0 where there is none.
  int find(const std::string& file) const {
    for (size_t i = 0; i < listed_.size(); ++i) {
      if (listed_[i].file == file) return static_cast<int>(i + 1);
    }
    return 0;
  }

 private:
  static const std::string& suffix() {
    static const std::string text = ".gate.yaml";
    return text;
  }

  static ListedProfile read(const std::filesystem::path& path) {
    ListedProfile found{path.filename().u8string(), {}, nullptr};
    found.label = found.file.substr(0, found.file.size() - suffix().size());
    try {
      std::ifstream file(path, std::ios::binary);
      std::string text;
      constexpr size_t longest = 4 << 20;
      for (std::istreambuf_iterator<char> at(file), end; at != end && text.size() <= longest; ++at) {
        text += *at;
      }
      if (!file.is_open()) throw std::runtime_error("cannot be read");
      if (text.size() > longest) throw std::runtime_error("is too large");
      found.profile = ProfileReader(text).read();
    } catch (const std::exception& error) {
      found.label += std::string(" (refused: ") + error.what() + ")";
    }
    return found;
  }

  std::vector<ListedProfile> listed_;
};

}  // namespace gate
