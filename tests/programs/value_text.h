/* A feedback value as text: JSON, in which texts, bytes and numbers are hexadecimal digits of their
 * bytes. The same as text() of feedback_values.py. */
#ifndef DEISA_TESTS_VALUE_TEXT_H
#define DEISA_TESTS_VALUE_TEXT_H

#include <deisa/deisa.h>
#include <stdio.h>

void print_value(FILE* to, const deisa_value* value);

#endif
