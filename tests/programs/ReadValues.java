import io.deisa.bridge.ArrayMetadata;
import io.deisa.bridge.Bridge;
import io.deisa.bridge.DType;
import io.deisa.bridge.DeisaException;
import io.deisa.bridge.ErrorMode;
import io.deisa.bridge.Feedback;
import io.deisa.bridge.NdArray;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Reads feedback as one rank of one: ReadValues ARRAY KEY... Prints each value as value_text.c does. */
public final class ReadValues {
    private ReadValues() {}

    private static String hex(byte[] bytes) {
        return '"' + HexFormat.of().formatHex(bytes) + '"';
    }

    private static String hex(String text) {
        return hex(text.getBytes(StandardCharsets.UTF_8));
    }

    private static String text(Object value) {
        if (value == null
                || value instanceof Boolean
                || value instanceof Long
                || value instanceof java.math.BigInteger) {
            return String.valueOf(value);
        }
        if (value instanceof Double number) {
            return String.format("{\"number\":\"%016x\"}", Double.doubleToRawLongBits(number));
        }
        if (value instanceof String string) {
            return "{\"text\":" + hex(string) + "}";
        }
        if (value instanceof byte[] bytes) {
            return "{\"bytes\":" + hex(bytes) + "}";
        }
        if (value instanceof List<?> list) {
            return list.stream().map(ReadValues::text).collect(Collectors.joining(",", "[", "]"));
        }
        if (value instanceof Map<?, ?> map) {
            Map<Object, Object> sorted = new TreeMap<>(map);
            return sorted.entrySet().stream()
                    .map(one -> "[" + hex((String) one.getKey()) + "," + text(one.getValue()) + "]")
                    .collect(Collectors.joining(",", "{\"map\":[", "]}"));
        }
        NdArray array = (NdArray) value;
        ByteBuffer data = array.data().duplicate();
        byte[] bytes = new byte[data.remaining()];
        data.get(bytes);
        String shape = array.shape().stream().map(String::valueOf).collect(Collectors.joining(",", "[", "]"));
        return "{\"array\":[\"" + array.dtype().name().toLowerCase() + "\"," + shape + "," + hex(bytes) + "]}";
    }

    /** The rank. */
    public static void main(String[] arguments) {
        System.setProperty("slf4j.internal.verbosity", "ERROR");
        ArrayMetadata array =
                ArrayMetadata.of(arguments[0], DType.FLOAT64, new long[] {1}, new long[] {1}, new long[] {0});
        try (Bridge bridge =
                Bridge.builder().array(array).errorMode(ErrorMode.RETURN).open()) {
            Feedback feedback = bridge.feedback();
            for (int i = 1; i < arguments.length; i++) {
                System.out.println(arguments[i] + " " + text(feedback.get(arguments[i], "no such value")));
            }
            System.out.println("absent " + text(feedback.get("absent", "the fallback")));
            System.out.println("at_0 " + text(feedback.at(0).get("zero", "no such value")));
            System.out.println("at_1 " + text(feedback.at(1).get("zero", "no such value")));
            System.out.println("typed " + feedback.getDouble("number", 1.0) + " " + feedback.getString("text", "") + " "
                    + feedback.getBoolean("true", false) + " " + feedback.getLong("least", 1));
            System.out.println("collective " + text(feedback.collective().get("list", null)));
            try {
                feedback.get("zero", null, true);
            } catch (DeisaException refused) {
                System.out.println("chunked " + refused.status());
            }
            feedback.delete("zero");
            System.out.println("deleted " + text(feedback.get("zero", "the fallback")));
            bridge.close(0);
        }
    }
}
