// What makes the next start of Java shorter, kept in a folder of the user's: an archive of the
// classes that Java loads (class-data sharing). Nothing here is an error: without it, a start takes
// longer.
#pragma once

#include <jni.h>

#include <string>
#include <vector>

#include "jvm/locate.hpp"

namespace deisa {

// The folder, made if need be: DEISA_CACHE; deisa in XDG_CACHE_HOME; .cache/deisa in HOME. "" when
// there is none that belongs to this user alone, or DEISA_CACHE is "none".
std::string cache_folder(const Places& places);

// The archive for a JVM that is started with these options; "" when there is no folder, or the
// options say something about archives themselves. Its name stands for all that an archive depends
// on; that of its file has its size, too.
std::string class_archive(const std::string& folder, const std::string& libjvm,
                          const std::vector<std::string>& options);

// Adds what uses the archive if it is there and whole, else what lets the JVM make it. Returns the
// archive that is to be made, or "".
std::string use_class_archive(const std::string& archive, std::vector<std::string>& options);

// Makes it, of the classes that are loaded now; about a second. Several processes may do so at a
// time. Call on a thread of that JVM, without a pending exception.
void make_class_archive(JNIEnv* env, const std::string& archive) noexcept;

}  // namespace deisa
