/* The one function of libdeisa_yaml.so, which libdeisa opens when a settings file is YAML. */
#ifndef DEISA_YAML_H
#define DEISA_YAML_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The YAML text as JSON text, NUL-terminated, to be given to free(). NULL after an error, with its
 * text in `message`, which holds `room` > 0 bytes. Plain scalars are what YAML 1.2's core schema
 * makes of them; a key that is there twice stays there twice. Aliases are expanded, up to 1 MiB in
 * all. Thread-safe. */
__attribute__((visibility("default"))) char* deisa_yaml_to_json(const char* text, size_t bytes,
                                                                char* message, size_t room);

#ifdef __cplusplus
}
#endif

#endif /* DEISA_YAML_H */
