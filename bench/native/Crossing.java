import io.deisa.bridge.internal.Native;
import java.util.Arrays;
import java.util.Locale;
import org.bytedeco.javacpp.LongPointer;

/**
 * What a call from Java into the C library costs: deisa_begin_step under DEISA_DISABLE=1, which does nothing. deisa_bench
 * measures the same call from C as c_abi_disabled. Prints its result as Google Benchmark does, as JSON.
 *
 * <p>Run by bench/parts: {@code java -cp ... Crossing.java REPETITIONS CALLS}
 */
final class Crossing {
    private Crossing() {}

    public static void main(String[] arguments) {
        int repetitions = Integer.parseInt(arguments[0]);
        int calls = Integer.parseInt(arguments[1]);
        Native.deisa_version(); // loads the library, which holds JavaCPP's own functions too
        try (LongPointer out = new LongPointer(1)) {
            if (Native.deisa_open(null, out.address(), null) != 0) {
                throw new IllegalStateException("deisa_open failed: is DEISA_DISABLE=1 in the environment?");
            }
            long bridge = out.get();
            time(bridge, calls); // compiled from here on
            double[] nanoseconds = new double[repetitions];
            for (int i = 0; i < repetitions; i++) {
                nanoseconds[i] = time(bridge, calls);
            }
            Arrays.sort(nanoseconds);
            System.out.printf(
                    Locale.ROOT,
                    "{\"name\": \"jni_disabled\", \"run_name\": \"jni_disabled\", \"aggregate_name\": \"median\","
                            + " \"iterations\": %d, \"real_time\": %.3f, \"cpu_time\": %.3f, \"time_unit\": \"ns\"}%n",
                    repetitions,
                    nanoseconds[repetitions / 2],
                    nanoseconds[repetitions / 2]);
        }
    }

    private static double time(long bridge, int calls) {
        long begin = System.nanoTime();
        for (int i = 0; i < calls; i++) {
            if (Native.deisa_begin_step(bridge, i, null) != 0) {
                throw new IllegalStateException("deisa_begin_step failed");
            }
        }
        return (double) (System.nanoTime() - begin) / calls;
    }
}
