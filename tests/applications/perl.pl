# What programs in Perl do, printed. Must print the same natively and in an enclave.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::INET;
use List::Util qw(sum max);
use POSIX qw(:sys_wait_h strftime floor);
use Storable qw(freeze thaw);

$| = 1;
my %words;
$words{ $_ % 7 . chr(97 + $_ % 26) }++ for 1 .. 50000;
print join(',', map { "$_=$words{$_}" } (sort keys %words)[0 .. 5]), ' ', sum(values %words), "\n";
(my $text = 'the quick brown fox ' x 500) =~ s/(\w+) (\w+)/$2 $1/g;
print sha256_hex($text), "\n";

my $folder = tempdir(CLEANUP => 1);
for (1 .. 40) { open(my $out, ">", "$folder/$_") or die; print $out "$_\n" x $_; close $out }
print sum(map { -s } glob "$folder/*"), ' ', scalar(() = `ls $folder`), "\n";
open(my $pipe, '-|', 'sort', '-nr', glob "$folder/*") or die;
print scalar(<$pipe>);
1 while <$pipe>;
close $pipe;

my @children;
for my $n (1 .. 5) {
    my $pid = fork // die;
    exit $n unless $pid;
    push @children, $pid;
}
print join(' ', map { waitpid($_, 0); $? >> 8 } @children), "\n";
pipe(my $r, my $w);
if (!fork) { close $r; syswrite $w, freeze([1 .. 1000]); exit }
close $w;
local $/;
print sum(@{ thaw(<$r>) }), "\n";
wait;

my $caught = 0;
local $SIG{USR1} = sub { $caught++ };
local $SIG{ALRM} = sub { die "late\n" };
kill USR1 => $$ for 1 .. 3;
eval { alarm 1; select undef, undef, undef, 20 };
print "$caught $@";

$/ = "\n";
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die;
my $port = $server->sockport;
if (!fork) {
    for (1 .. 10) { my $c = $server->accept; while (my $line = <$c>) { print $c scalar reverse $line } }
    POSIX::_exit(0);
}
for my $n (1 .. 10) {
    my $c = IO::Socket::INET->new("127.0.0.1:$port") or die;
    print $c "message $n\n";
    shutdown $c, 1;
    my $got = join '', <$c>;
    print length $got, ' ';
}
wait;
print "\n", strftime('%F', gmtime 86400), ' ', floor(3.7), "\n", `echo from a shell`, $? >> 8, "\n";
