// What programs in Java do, printed: collections, streams, threads, processes, files, HTTP. Must print the same natively and in an enclave.
import com.sun.net.httpserver.HttpServer;
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;

public class Work {
    static long sieve(int n) {
        BitSet composite = new BitSet(n);
        long sum = 0;
        for (int i = 2; i < n; i++)
            if (!composite.get(i)) {
                sum += i;
                for (long j = (long)i * i; j < n; j += i)
                    composite.set((int)j);
            }
        return sum;
    }

    static void threads() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        AtomicLong total = new AtomicLong();
        List<Future<Long>> parts = new ArrayList<>();
        for (int i = 1; i <= 40; i++) {
            int n = i * 1000;
            parts.add(pool.submit(() -> { long s = sieve(n); total.addAndGet(s); return s; }));
        }
        long sum = 0;
        for (Future<Long> part : parts)
            sum += part.get();
        pool.shutdown();
        System.out.println("threads " + sum + " " + (sum == total.get()) + " " + pool.awaitTermination(5, TimeUnit.SECONDS));
        System.out.println("streams " + IntStream.range(0, 200000).parallel().mapToLong(i -> (long)i * i % 1000003).sum());
    }

    static void garbage() {
        Map<Integer, byte[]> kept = new HashMap<>();
        long made = 0;
        for (int i = 0; i < 200000; i++) {
            byte[] b = new byte[2000 + i % 3000];
            made += b.length;
            kept.put(i % 5000, b);
        }
        System.out.println("garbage " + made / 1000000 + " MB, kept " + kept.values().stream().mapToLong(b -> b.length).sum());
    }

    static void exceptions() {
        int caught = 0;
        Object nothing = null;
        for (int i = 0; i < 20000; i++)
            try {
                if (i % 2 == 0)
                    nothing.hashCode(); // compiled code finds null by a fault
                else
                    caught += 1 / (i - i);
            } catch (NullPointerException | ArithmeticException e) {
                caught++;
            }
        int depth = 0;
        try {
            recurse(0);
        } catch (StackOverflowError e) {
            depth = 1;
        }
        System.out.println("exceptions " + caught + " " + depth);
    }
    static int recurse(int n) { return recurse(n + 1) + 1; }

    static void processes() throws Exception {
        Process p = new ProcessBuilder("sort", "-r").redirectErrorStream(true).start();
        try (Writer w = p.outputWriter()) { w.write("a\nc\nb\n"); }
        System.out.println("process " + p.inputReader().lines().collect(Collectors.joining(",")) + " " + p.waitFor());
        Process q = new ProcessBuilder("sh", "-c", "exit 7").start();
        System.out.println("process " + q.waitFor());
    }

    static void files() throws Exception {
        Path folder = Files.createTempDirectory("work");
        for (int i = 0; i < 50; i++)
            Files.writeString(folder.resolve("f" + i), "line\n".repeat(i));
        try (Stream<Path> s = Files.walk(folder)) {
            System.out.println("files " + s.filter(Files::isRegularFile).mapToLong(f -> f.toFile().length()).sum());
        }
        try (RandomAccessFile f = new RandomAccessFile(folder.resolve("map").toFile(), "rw")) {
            var map = f.getChannel().map(java.nio.channels.FileChannel.MapMode.READ_WRITE, 0, 1 << 20);
            for (int i = 0; i < 1 << 20; i += 4096)
                map.putInt(i, i);
            map.force();
            f.seek(40960);
            System.out.println("mapped " + f.readInt());
        }
    }

    static void http() throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", exchange -> {
            byte[] body = ("you asked for " + exchange.getRequestURI()).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        HttpClient client = HttpClient.newHttpClient();
        String base = "http://127.0.0.1:" + server.getAddress().getPort() + "/";
        List<CompletableFuture<String>> answers = IntStream.range(0, 100)
            .mapToObj(i -> client.sendAsync(HttpRequest.newBuilder(URI.create(base + i)).build(), HttpResponse.BodyHandlers.ofString())
                .thenApply(HttpResponse::body)).collect(Collectors.toList());
        long length = 0;
        for (var a : answers)
            length += a.get().length();
        System.out.println("http " + length);
        server.stop(0);
        ((ExecutorService)server.getExecutor()).shutdown();
    }

    public static void main(String[] args) throws Exception {
        threads();
        garbage();
        exceptions();
        processes();
        files();
        http();
        System.exit(0);
    }
}
