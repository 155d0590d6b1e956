// As rows.c, in C++.
#include <cstdio>
#include <cstdlib>
#include <deisa/deisa.hpp>
#include <string>
#include <vector>

namespace {

void expect(bool holds, const std::string& row) {
  if (holds) return;
  std::printf("%s is wrong\n", row.c_str());
  std::exit(1);
}

void done(const char* row) { std::printf("row %s\n", row); }

deisa::Layout layout() {
  deisa::Layout layout;
  layout.chunk_shape = {2, 3};
  layout.nb_chunks_per_dim = {1, 1};
  layout.chunk_position = {0, 0};
  return layout;
}

void feedback(deisa::Bridge& bridge) {
  using namespace std::chrono_literals;
  expect(bridge.get<double>("number") == 2.5, "number");
  done("number");
  expect(bridge.get<int>("integer") == -7, "integer");
  done("integer");
  expect(bridge.get<bool>("logical") == true, "logical");
  done("logical");
  expect(bridge.get<std::string>("text") == "h\xc3\xa9", "text");
  done("text");
  const auto array = bridge.get<deisa::View<const double>>("array");
  expect(array && array->extent(1) == 3 && (*array)(1, 2) == 5, "array");
  done("NumPy array");
  const auto tree = bridge.get<const deisa_value*>("tree");
  expect(tree && (*tree)->items[0].items[1].kind == DEISA_VALUE_NULL, "tree");
  expect(bridge.get<std::vector<std::byte>>("bytes")->size() == 3, "bytes");
  expect(bridge.get<std::uint64_t>("most") == UINT64_MAX, "most");
  done("any value");
  expect(bridge.get<double>("gain", {3, 20s}) == 0.25, "timestep");
  done("timestep and wait");
  expect(bridge.get<double>("gain", {3, 20s, true}) == 0.25, "collective");
  done("collective");
  const auto all = bridge.get_all<double>("gain");
  expect(all.size() == 2 && all[1].first == 3 && all[0].second == 0.5, "all");
  done("all kept values");
  bridge.delete_("number");
  expect(!bridge.get<double>("number"), "delete");
  done("delete");
}

}  // namespace

int main() {
  int reported = 0;
  deisa::Options options;
  options.error_handler = [&](const deisa::Exception& failure) {
    reported += failure.status() == DEISA_ERROR_RESOURCE ? 1 : 0;
  };
  options.settings = {"max_in_flight=3"};
  deisa::Bridge bridge(std::move(options));
  deisa::Layout halo = layout();
  halo.halo_before = halo.halo_after = {1, 1};
  bridge.define<double>("written-halo", halo);
  deisa::Layout start;
  start.chunk_shape = start.global_shape = {2, 3};
  start.start = {0, 0};
  bridge.define<double>("written-start", start);
  deisa::Layout joined = layout();
  joined.aggregate = "all";
  try {
    bridge.define<double>("written-aggregate", joined);
    expect(false, "aggregate");
  } catch (const deisa::ArgumentError&) {
  }
  joined.aggregate = "node";
  bridge.define<double>("written-aggregate", joined);
  deisa::Layout order = layout();
  order.order = deisa::Order::fortran;
  bridge.define<double>("written-order", order);
  for (const char* name : {"strides", "loan", "asynchronous", "steps", "arrow"}) {
    bridge.define<double>(std::string("written-") + name, layout());
  }
  bridge.define<std::uint16_t>("written-unsigned", layout());
  bridge.ready();
  double block[4][5] = {}, sparse[2][6] = {}, chunk[2][3], turned[3][2];
  std::uint16_t numbers[2][3];
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      block[i + 1][j + 1] = sparse[i][2 * j] = chunk[i][j] = turned[j][i] = 10 * i + j;
      numbers[i][j] = static_cast<std::uint16_t>(65500 + 10 * i + j);
    }
  }

  bridge.send("written-start", chunk, 0);
  done("start");
  bridge.send("written-aggregate", chunk, 0);
  done("aggregate");
  done("settings as text");
  bridge.send_pointer("written-halo", &block[0][0], 0);
  done("halo");
  bridge.send_pointer("written-order", &turned[0][0], 0);
  done("order");
  bridge.send("written-strides", deisa::View<double>(&sparse[0][0], {2, 3}, {6, 2}), 0);
  done("strides");
  deisa::Loan<double> loan = bridge.loan<double>("written-loan");
  std::copy(&chunk[0][0], &chunk[0][0] + 6, loan.begin());
  bridge.send(loan, 0);
  done("loan");
  expect(bridge.send_async("written-asynchronous", chunk, 0).wait() == deisa::Status::ok, "async");
  done("asynchronous");
  bridge.send("written-unsigned", numbers, 0);
  done("unsigned types");
  std::copy(&chunk[0][0], &chunk[0][0] + 6, loan.begin());
  ArrowArray array = {};
  ArrowSchema schema = {};
  loan.export_to(&array, &schema);
  done("Arrow out");
  bridge.send("written-arrow", deisa::Arrow{&array, &schema}, 0);
  expect(array.release == nullptr, "arrow");
  done("Arrow in");
  deisa::Step step = bridge.begin_step(1);
  step.put("written-steps", chunk);
  step.end();
  done("steps");
  {
    deisa::Step left = bridge.begin_step(2);
    left.put("written-steps", chunk);
  }
  done("abandoned step");
  bridge.send("written-steps", chunk, 66);  // which the node actor refuses
  bridge.flush();
  expect(reported == 1, "error handler");
  done("error handler");
  feedback(bridge);
  const deisa_statistics now = bridge.statistics();
  expect(now.chunks_sent == 11 && now.chunks_failed == 1 && now.steps_skipped == 1, "statistics");
  done("statistics");
  bridge.close(100);
  return 0;
}
