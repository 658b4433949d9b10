# The JDK's tools at a running program: they find it by its files, attach by SIGQUIT and a unix socket, and ask who it is.
cd /tmp || exit 1
cat >Spin.java <<'END'
public class Spin {
    static synchronized void spin() throws Exception { while (true) Thread.sleep(20); }
    public static void main(String[] a) throws Exception { System.out.println("up"); spin(); }
}
END
javac Spin.java
mkfifo up
java -cp /tmp Spin >up &
pid=$!
read -r line <up
echo "$line"
jps | sed 's/^[0-9]* //' | sort
jcmd | sed 's/^[0-9]* //' | sort
jcmd $pid VM.version | tail -n +2
echo "status $?"
jcmd Spin VM.flags -all | grep -c UseG1GC
jcmd $pid Thread.print | grep -A4 '"main"' | sed 's/cpu=.*//; s/<.*>/<>/'
jcmd $pid GC.heap_info | grep -c garbage-first
jcmd $pid GC.class_histogram | grep -c ' java.lang.String '
jcmd $pid VM.system_properties | grep java.version=
jstack $pid | grep -c Spin.spin
jinfo -flag MaxHeapSize $pid | grep -c MaxHeapSize
jstat -gc $pid | wc -l
jmap -dump:live,file=/tmp/heap $pid | sed 's/\[.*//'
head -c 18 heap | tr '\0' '\n'
kill -QUIT $pid
jcmd $pid nonsense 2>&1 | sed -n 2p
jcmd 99999 VM.version 2>&1 | sed -n 2p
kill $pid
wait $pid
echo "ended $?"
