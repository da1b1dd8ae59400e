import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import java.util.List;

/**
 * Serves the MongoDB protocol for tests, on a loopback port and a file, until its standard input ends.
 *
 * <p>Arguments: file, port (0: any that is free). Prints the port that it listens on. It tells clients that it is
 * MongoDB 4.4, the oldest that the Node.js driver talks to; it has neither transactions nor change streams.
 */
public final class MongoTestServer {
    private static final MongoVersion VERSION = new MongoVersion() {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    };

    public static void main(String[] arguments) throws Exception {
        MongoServer server = new MongoServer(new H2Backend(arguments[0]).version(VERSION));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind("127.0.0.1", Integer.parseInt(arguments[1]));
        System.out.println(server.getLocalAddress().getPort());
        while (System.in.read() >= 0) {
            continue;
        }
        System.exit(0);
    }
}
