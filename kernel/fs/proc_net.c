/* /proc/net. The headings are there for programs that parse these; sockets are not listed. */
#include <linux/stat.h>

#include "kernel/fs/proc.h"

#define FILE_OF(n, t)                                                                                                  \
    {                                                                                                                  \
        .name = n, .mode = S_IFREG | 0444, .text = t                                                                   \
    }

#define INET_HEADING "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"

const struct pseudo_entry proc_net_entries[] = {
    FILE_OF("dev",
            "Inter-|   Receive                                                |  Transmit\n"
            " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo "
            "colls carrier compressed\n"
            "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0"
            "       0          0\n"),
    FILE_OF("if_inet6", "00000000000000000000000000000001 01 80 10 80       lo\n"),
    FILE_OF("route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"),
    FILE_OF("tcp", INET_HEADING "\n"),
    FILE_OF("tcp6", "  sl  local_address                         remote_address                        st tx_queue "
                    "rx_queue tr tm->when retrnsmt   uid  timeout inode\n"),
    FILE_OF("udp", INET_HEADING " ref pointer drops\n"),
    FILE_OF("udp6", "  sl  local_address                         remote_address                        st tx_queue "
                    "rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"),
    FILE_OF("unix", "Num       RefCount Protocol Flags    Type St Inode Path\n"),
    {0},
};
