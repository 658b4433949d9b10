# What programs in Ruby do, printed. Must print the same natively and in an enclave.
require 'digest'
require 'json'
require 'open3'
require 'socket'
require 'tmpdir'
$stdout.sync = true
puts (1..20_000).map { |n| n.to_s(36) }.group_by(&:size).transform_values(&:count).to_json
puts Digest::SHA256.hexdigest(JSON.generate((1..3000).map { |n| { n: n, s: n.to_s * 3 } }))
queue, total, lock = Queue.new, 0, Mutex.new
threads = 6.times.map { Thread.new { while (n = queue.pop) != :end; lock.synchronize { total += n }; end } }
1000.times { |n| queue << n }
6.times { queue << :end }
threads.each(&:join)
puts total
fiber = Fiber.new { 3.times { |i| Fiber.yield i }; :done }
puts 4.times.map { fiber.resume }.inspect
puts Open3.capture3('sort -r; echo err >&2; exit 4', stdin_data: "a\nc\nb\n").then { |o, e, s| [o, e, s.exitstatus] }.inspect
reader, writer = IO.pipe
pid = fork { reader.close; Marshal.dump((1..100).to_a, writer); exit! 6 }
writer.close
puts Marshal.load(reader).sum, Process.wait2(pid)[1].exitstatus
Dir.mktmpdir do |folder|
  30.times { |n| File.write("#{folder}/#{n}", 'x' * n) }
  puts Dir.glob("#{folder}/*").sum { |f| File.size(f) }
end
server = TCPServer.new('127.0.0.1', 0)
acceptor = Thread.new { 20.times { c = server.accept; Thread.new { c.puts c.gets.swapcase; c.close } } }
puts 20.times.map { |n| Thread.new { s = TCPSocket.new('127.0.0.1', server.addr[1]); s.puts "Client #{n}"; s.read } }.map(&:value).join.length
acceptor.join
caught = []
trap('USR1') { caught << :usr1 }
Process.kill(:USR1, Process.pid)
sleep 0.01 until caught.any?
puts caught.inspect
begin
  deep = ->(n) { deep.(n + 1) }
  deep.(0)
rescue SystemStackError => e
  puts e.class
end
GC.start
puts (1..300_000).map { |i| "string #{i}" }.last, `uname -s`, $?.exitstatus
