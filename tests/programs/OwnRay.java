import io.deisa.bridge.ArrayMetadata;
import io.deisa.bridge.Bridge;
import io.deisa.bridge.DType;
import io.deisa.bridge.ErrorMode;
import io.ray.api.ObjectRef;
import io.ray.api.Ray;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** A simulation of one rank that is a driver of Ray by itself, before, while and after it has a bridge. */
public final class OwnRay {
    private OwnRay() {}

    public static void main(String[] arguments) {
        System.setProperty("ray.address", arguments[0]);
        Ray.init();
        String job = Ray.getRuntimeContext().getCurrentJobId().toString();
        ObjectRef<Integer> before = Ray.put(41);
        ArrayMetadata array = ArrayMetadata.of("t", DType.FLOAT64, new long[] {4}, new long[] {1}, new long[] {0});
        try (Bridge bridge =
                Bridge.builder().array(array).errorMode(ErrorMode.RETURN).open()) {
            bridge.send("t", ByteBuffer.allocateDirect(32).order(ByteOrder.nativeOrder()), 0);
            bridge.close(1);
        }
        if (!Ray.isInitialized()
                || !Ray.getRuntimeContext().getCurrentJobId().toString().equals(job)) {
            throw new AssertionError("another driver");
        }
        System.out.println("mine: " + (before.get() + Ray.put(1).get()));
        Ray.shutdown();
    }
}
