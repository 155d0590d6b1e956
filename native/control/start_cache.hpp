// What makes the next start of Java shorter, kept in a folder of the user's: an archive of the
// classes that Java loads (class-data sharing). Nothing here is an error: without it, a start takes
// longer.
#pragma once

#include <string>
#include <vector>

#include "control/locate.hpp"

namespace deisa {

// The folder, made if need be: DEISA_CACHE; deisa in XDG_CACHE_HOME; .cache/deisa in HOME. "" when
// there is none that belongs to this user alone, or DEISA_CACHE is "none".
std::string cache_folder(const Places& places);

// The archive for this java (its path) with these options; "" when there is no folder, or the
// options say something about archives themselves. Its name stands for all that an archive depends
// on; that of its file has its size, too.
std::string class_archive(const std::string& folder, const std::string& java,
                          const std::vector<std::string>& options);

// Adds what uses the archive if it is there and whole, else what lets Java make it. Returns the
// file that Java is to make, for keep_class_archive(), or "".
std::string use_class_archive(const std::string& archive, std::vector<std::string>& options);

// Gives what Java has made its name, so that the next start uses it; or removes what is left of it.
// Several processes may do so at a time.
void keep_class_archive(const std::string& made) noexcept;
void drop_class_archive(const std::string& made) noexcept;

}  // namespace deisa
