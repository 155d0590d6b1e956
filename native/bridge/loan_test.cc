// Buffers that the bridge lends, and what it exports to Arrow, through the C ABI.
#include <cstring>
#include <thread>
#include <tuple>
#include <vector>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"
#include "chunk/arrow.hpp"

namespace deisa::testing {
namespace {

class LoanTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    rank.options.error_mode = DEISA_ERRORS_RETURN;
    rank.options.send_timeout = 20;
  }
  void start() {
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t"), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("u", 0, 1, DEISA_FLOAT32), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  }
  void* allocate() {
    void* buffer = nullptr;
    EXPECT_EQ(deisa_loan(rank.bridge, "t", &buffer, nullptr, &rank.error), DEISA_OK)
        << rank.message();
    EXPECT_NE(buffer, nullptr);
    return buffer;
  }
  static void write(void* buffer, double value) {
    const auto data = Rank::values(value);
    std::memcpy(buffer, data.data(), sizeof(data));
  }
  static bool holds(const void* buffer, double value) {
    const auto data = Rank::values(value);
    return std::memcmp(buffer, data.data(), sizeof(data)) == 0;
  }
  deisa_status send(void** buffer, int64_t timestep) {
    return send_from(rank.bridge, "t", loan(buffer), timestep, nullptr, &rank.error);
  }
  deisa_status put_u(float value) {
    const std::vector<float> data(6, value);
    return deisa_put(rank.bridge, "u", data.data(), &rank.error);
  }
  int64_t bytes_copied() {
    deisa_statistics out = {};
    out.struct_size = sizeof(out);
    EXPECT_EQ(deisa_get_statistics(rank.bridge, &out, &rank.error), DEISA_OK);
    return out.bytes_copied;
  }

  FakeNode node;
  Rank rank;
};

struct Exported {
  ArrowArray array{};
  ArrowSchema schema{};
  const ArrowRelease release{&array, &schema};  // of what a test has not released
  const double* values() const { return static_cast<const double*>(array.children[0]->buffers[1]); }
};

TEST_F(LoanTest, BuffersAreNotCopied) {
  start();
  void* buffer = allocate();
  EXPECT_EQ(allocate(), buffer) << "a second call returns the same";
  for (int64_t t = 0; t < 20; ++t) {
    write(buffer, static_cast<double>(t));
    void* const sent = buffer;
    ASSERT_EQ(send(&buffer, t), DEISA_OK) << rank.message();
    EXPECT_NE(buffer, sent) << "the next one";
  }
  EXPECT_EQ(bytes_copied(), 0);
  ASSERT_EQ(rank.begin(20), DEISA_OK);
  ASSERT_EQ(put_from(rank.bridge, "t", loan(&buffer), &rank.error), DEISA_OK);
  ASSERT_EQ(put_u(5), DEISA_OK);
  ASSERT_EQ(rank.end(), DEISA_OK);
  EXPECT_EQ(bytes_copied(), 24) << "of u";
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), 22u);
  for (size_t t = 0; t < 20; ++t) {
    EXPECT_TRUE(holds(chunks[t].bytes.data(), static_cast<double>(t))) << t;
  }
  double other = 0;
  void* wrong = &other;
  EXPECT_EQ(send(&wrong, 30), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "is not the memory that deisa_loan"));
  EXPECT_EQ(wrong, &other);
  EXPECT_EQ(rank.send("t", 1, 30), DEISA_OK) << "nothing was sent";
}

TEST_F(LoanTest, TheMemoryIsDescribed) {
  for (const bool disabled : {false, true}) {
    if (disabled) ::setenv("DEISA_DISABLE", "1", 1);
    start();
    deisa_layout layout = DEISA_LAYOUT_INIT;
    void* buffer = &layout;
    EXPECT_EQ(deisa_loan(rank.bridge, "no", &buffer, &layout, &rank.error),
              disabled ? DEISA_OK : DEISA_ERROR_CONTRACT);
    EXPECT_EQ(buffer, nullptr);
    EXPECT_EQ(layout.chunk_shape, nullptr);
    ASSERT_EQ(deisa_loan(rank.bridge, "t", &buffer, &layout, &rank.error), DEISA_OK);
    EXPECT_EQ(buffer, allocate());
    EXPECT_EQ(layout.dtype, DEISA_FLOAT64);
    ASSERT_EQ(layout.ndim, 2);
    EXPECT_EQ(std::vector<int64_t>(layout.chunk_shape, layout.chunk_shape + 2),
              (std::vector<int64_t>{2, 3}));
    if (!disabled) {
      layout.struct_size = 8;
      EXPECT_EQ(deisa_loan(rank.bridge, "t", &buffer, &layout, &rank.error), DEISA_ERROR_ARGUMENT);
    }
    EXPECT_EQ(rank.close(0), DEISA_OK);
    ::unsetenv("DEISA_DISABLE");
  }
}

// A timestep is computed from the last one, in the two buffers alone.
TEST_F(LoanTest, WhatWasSentCanBeReadUntilTheNextSend) {
  for (const bool disabled : {false, true}) {
    if (disabled) ::setenv("DEISA_DISABLE", "1", 1);
    start();
    auto* now = static_cast<double*>(allocate());
    write(now, 0);
    for (int64_t t = 0; t < 20; ++t) {
      const double* last = now;
      void* buffer = now;
      if (t % 3 == 2) {
        ASSERT_EQ(rank.begin(t), DEISA_OK);
        ASSERT_EQ(put_from(rank.bridge, "t", loan(&buffer), &rank.error), DEISA_OK);
        ASSERT_EQ(rank.end(), DEISA_OK);
      } else {
        ASSERT_EQ(send(&buffer, t), DEISA_OK) << rank.message();
      }
      // The fake node has stored it: the slot is free.
      ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
      now = static_cast<double*>(buffer);
      ASSERT_NE(now, last);
      for (int i = 0; i < 6; ++i) now[i] = last[i] + 1;
    }
    EXPECT_TRUE(holds(now, 20)) << "disabled: " << disabled;
    EXPECT_EQ(rank.close(20), DEISA_OK);
    ::unsetenv("DEISA_DISABLE");
  }
  EXPECT_TRUE(holds(node.chunks().back().bytes.data(), 19));
}

TEST_F(LoanTest, BuffersStayWithinMaxInFlight) {
  node.on_step([](FakeNode&, const FakeNode::Step&) {});  // never stored
  rank.options.send_timeout = 0.2;
  start();
  void* buffer = allocate();
  EXPECT_EQ(send(&buffer, 0), DEISA_OK);
  EXPECT_EQ(send(&buffer, 1), DEISA_OK);
  void* const kept = buffer;
  EXPECT_NE(kept, nullptr);
  EXPECT_EQ(send(&buffer, 2), DEISA_ERROR_TIMEOUT);
  EXPECT_EQ(buffer, kept) << "still the caller's";
}

TEST_F(LoanTest, ALeftOutStepDoesNotTakeTheBuffer) {
  node.on_step([](FakeNode&, const FakeNode::Step&) {});
  rank.options.error_mode = DEISA_ERRORS_REPORT;
  rank.options.error_handler = [](void*, const deisa_error*) {};
  rank.options.send_timeout = 0.1;
  rank.options.max_in_flight = 1;
  start();
  void* buffer = allocate();
  ASSERT_EQ(send(&buffer, 0), DEISA_OK);
  void* const kept = buffer;
  write(kept, 3);
  ASSERT_EQ(rank.begin(1), DEISA_REPORTED);
  EXPECT_EQ(put_from(rank.bridge, "t", loan(&buffer), &rank.error), DEISA_OK);
  EXPECT_EQ(buffer, kept);
  Exported step;
  ASSERT_EQ(deisa_export(rank.bridge, nullptr, &step.array, &step.schema, &rank.error), DEISA_OK);
  EXPECT_EQ(step.array.n_children, 0);
  EXPECT_EQ(rank.end(), DEISA_OK);
  EXPECT_TRUE(holds(kept, 3));
}

TEST_F(LoanTest, AsynchronousSendsTakeItToo) {
  start();
  void* buffer = allocate();
  deisa_request request = 0;
  for (int64_t t = 0; t < 10; ++t) {
    write(buffer, static_cast<double>(t));
    ASSERT_EQ(send_from(rank.bridge, "t", loan(&buffer), t, &request, &rank.error), DEISA_OK);
    ASSERT_NE(request, 0u);
    ASSERT_EQ(deisa_wait(rank.bridge, &request, &rank.error), DEISA_OK);
  }
  EXPECT_EQ(bytes_copied(), 0);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_TRUE(holds(node.chunks().back().bytes.data(), 9));
}

TEST_F(LoanTest, TheLoanIsExportedAsItIs) {
  start();
  void* buffer = allocate();
  write(buffer, 7);
  Exported view;
  ASSERT_EQ(deisa_export(rank.bridge, "t", &view.array, &view.schema, &rank.error), DEISA_OK)
      << rank.message();
  EXPECT_EQ(view.values(), buffer);
  const ArrowView chunk = import_arrow(view.array, view.schema, DEISA_FLOAT64, {2, 3});
  EXPECT_EQ(chunk.data, buffer);
  Exported unknown;
  EXPECT_EQ(deisa_export(rank.bridge, "no", &unknown.array, &unknown.schema, &rank.error),
            DEISA_ERROR_CONTRACT);
}

TEST_F(LoanTest, AnExportLivesLongerThanTheBridge) {
  start();
  void* buffer = allocate();
  write(buffer, 4);
  Exported first, second;
  ASSERT_EQ(deisa_export(rank.bridge, "t", &first.array, &first.schema, nullptr), DEISA_OK);
  ASSERT_EQ(rank.begin(0), DEISA_OK);
  ASSERT_EQ(put_from(rank.bridge, "t", loan(&buffer), &rank.error), DEISA_OK);
  ASSERT_EQ(deisa_export(rank.bridge, nullptr, &second.array, &second.schema, nullptr), DEISA_OK);
  ASSERT_EQ(rank.end(), DEISA_OK);
  ASSERT_EQ(rank.close(1), DEISA_OK);
  EXPECT_TRUE(holds(first.values(), 4));
  first.array.release(&first.array);
  const ArrowArray* t = second.array.children[0];
  EXPECT_TRUE(holds(t->children[0]->buffers[1], 4)) << "still mapped";
  // On another thread, and the schema before its array or after it.
  std::thread([&] {
    second.schema.release(&second.schema);
    second.array.release(&second.array);
    first.schema.release(&first.schema);
  }).join();
}

TEST_F(LoanTest, AWholeStepIsAStructOfTensors) {
  start();
  EXPECT_EQ(deisa_export(rank.bridge, nullptr, nullptr, nullptr, &rank.error),
            DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(), "export of a step outside one"));
  ASSERT_EQ(rank.begin(3), DEISA_OK);
  EXPECT_EQ(deisa_export(rank.bridge, nullptr, nullptr, nullptr, &rank.error),
            DEISA_ERROR_ARGUMENT);
  ASSERT_EQ(put_u(2.5F), DEISA_OK);
  Exported half, whole;
  ASSERT_EQ(deisa_export(rank.bridge, nullptr, &half.array, &half.schema, &rank.error), DEISA_OK);
  EXPECT_EQ(half.array.n_children, 1) << "what was put so far";
  ASSERT_EQ(rank.put("t", 10), DEISA_OK);
  ASSERT_EQ(deisa_export(rank.bridge, nullptr, &whole.array, &whole.schema, &rank.error), DEISA_OK);
  EXPECT_STREQ(whole.schema.format, "+s");
  EXPECT_EQ(whole.array.length, 1);
  ASSERT_EQ(whole.array.n_children, 2);
  ASSERT_EQ(whole.schema.n_children, 2);
  EXPECT_STREQ(whole.schema.children[0]->name, "u");
  EXPECT_STREQ(whole.schema.children[1]->name, "t");
  const ArrowView t =
      import_arrow(*whole.array.children[1], *whole.schema.children[1], DEISA_FLOAT64, {2, 3});
  EXPECT_TRUE(holds(t.data, 10));
  const ArrowView u =
      import_arrow(*whole.array.children[0], *whole.schema.children[0], DEISA_FLOAT32, {2, 3});
  EXPECT_EQ(static_cast<const float*>(u.data)[5], 2.5F);

  // A column that is moved out lives on when its parent is released, and the other way round.
  ArrowArray moved = *half.array.children[0];
  half.array.children[0]->release = nullptr;
  half.array.release(&half.array);
  half.schema.release(&half.schema);
  EXPECT_EQ(static_cast<const float*>(moved.children[0]->buffers[1])[0], 2.5F);
  moved.release(&moved);
  EXPECT_EQ(rank.end(), DEISA_OK);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(static_cast<const float*>(u.data)[5], 2.5F) << "until the next put";
}

TEST_F(LoanTest, DisabledExportsAreOrdinaryMemory) {
  ::setenv("DEISA_DISABLE", "1", 1);
  start();
  void* buffer = allocate();
  write(buffer, 1);
  Exported view, step, unknown;
  ASSERT_EQ(deisa_export(rank.bridge, "t", &view.array, &view.schema, &rank.error), DEISA_OK);
  EXPECT_EQ(view.values(), buffer);
  ASSERT_EQ(rank.begin(0), DEISA_OK);
  ASSERT_EQ(put_from(rank.bridge, "t", loan(&buffer), &rank.error), DEISA_OK);
  ASSERT_EQ(deisa_export(rank.bridge, nullptr, &step.array, &step.schema, &rank.error), DEISA_OK);
  EXPECT_EQ(step.array.n_children, 0);
  EXPECT_EQ(deisa_export(rank.bridge, "no", &unknown.array, &unknown.schema, nullptr), DEISA_OK);
  EXPECT_EQ(unknown.array.release, nullptr);
  EXPECT_EQ(rank.close(1), DEISA_OK);
  EXPECT_TRUE(holds(view.values(), 1)) << "its own";
  ::unsetenv("DEISA_DISABLE");
}

}  // namespace
}  // namespace deisa::testing
