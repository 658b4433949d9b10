# numpy on OpenBLAS with threads: products, decompositions and transforms whose results are known, and workers.
import multiprocessing
import os
import threading

import numpy as np

r = np.random.default_rng(1)
a, b = r.standard_normal((600, 600)), r.standard_normal((600, 600))
print("threads", len(os.listdir("/proc/self/task")) == int(os.environ["OPENBLAS_NUM_THREADS"]))
c = a @ b
print("product", np.allclose(c[7, 9], sum(a[7] * b[:, 9])), f"{np.linalg.norm(c):.6f}")
print("solve", np.allclose(a @ np.linalg.solve(a, b), b))
u, s, v = np.linalg.svd(a[:200, :200])
print("svd", np.allclose(u * s @ v, a[:200, :200]), f"{s[0]:.8f}")
print("eigenvalues", f"{np.linalg.eigvalsh(a + a.T)[0]:.7f}")
print("fft", np.allclose(np.fft.ifft(np.fft.fft(a)), a))
results = [None] * 4


def work(i):
    results[i] = float(f"{np.trace(np.linalg.matrix_power(a / 40, 5 + i)):.8g}")


threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("in threads", results)


def child(i):
    return float(f"{np.linalg.det(a[i * 50:i * 50 + 50, :50]):.8g}")


with multiprocessing.Pool(2) as pool:
    print("in processes", pool.map(child, range(4)))
m = np.memmap("/tmp/map", dtype="f8", mode="w+", shape=(500, 500))
m[:] = a[:500, :500]
m.flush()
print("mapped", np.array_equal(np.fromfile("/tmp/map").reshape(500, 500), a[:500, :500]))
