// What programs in Node.js do, printed: an HTTP server, workers, child processes, a cluster, fs.watch. Must print the same natively and in an enclave.
const assert = require('assert'), child = require('child_process'), cluster = require('cluster'), crypto = require('crypto');
const fs = require('fs'), http = require('http'), os = require('os'), path = require('path'), zlib = require('zlib');
const { Worker } = require('worker_threads');
const { once } = require('events');

function get(port, url, agent) {
    return new Promise((resolve, reject) => {
        http.get({ port, path: url, agent, host: '127.0.0.1' }, answer => {
            let body = '';
            answer.on('data', data => body += data).on('end', () => resolve(body));
        }).on('error', reject);
    });
}

async function serve() {
    const server = http.createServer((request, answer) => answer.end('you asked for ' + request.url));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const agent = new http.Agent({ keepAlive: true, maxSockets: 10 }), port = server.address().port;
    const bodies = await Promise.all([...Array(200).keys()].map(i => get(port, '/' + i, agent)));
    agent.destroy();
    server.close();
    return crypto.createHash('sha256').update(bodies.join()).digest('hex');
}

async function workers() {
    const code = `const { parentPort, workerData } = require('worker_threads');
        const shared = new Int32Array(workerData);
        for (let i = 0; i < 10000; i++) Atomics.add(shared, 0, 1);
        Atomics.notify(shared, 0);
        parentPort.on('message', n => { let s = 0; for (let i = 0; i < n; i++) s += i % 7; parentPort.postMessage(s); parentPort.close(); });`;
    const shared = new SharedArrayBuffer(4);
    const all = [...Array(4).keys()].map(() => new Worker(code, { eval: true, workerData: shared }));
    const sums = all.map(async (w, i) => {
        const message = once(w, 'message'), exit = once(w, 'exit'); // both may come at once
        w.postMessage(1000000 * (i + 1));
        await exit;
        return (await message)[0];
    });
    return [await Promise.all(sums), new Int32Array(shared)[0]];
}

async function children() {
    const out = [];
    out.push(child.execFileSync('sort', ['-r'], { input: 'a\nc\nb\n' }).toString());
    out.push(child.spawnSync('sh', ['-c', 'echo out; echo err >&2; exit 3']).status);
    const cat = child.spawn('cat');
    cat.stdin.end('through cat');
    for await (const data of cat.stdout) out.push(data.toString());
    const sleeper = child.spawn('sleep', ['100']);
    sleeper.kill();
    out.push((await once(sleeper, 'exit'))[1]);
    const forked = child.fork(__filename, ['child']);
    const exited = once(forked, 'exit');
    forked.send({ n: 20 });
    out.push((await once(forked, 'message'))[0]);
    forked.disconnect();
    out.push((await exited)[0]);
    return out;
}

async function clustered() {
    cluster.setupPrimary({ args: ['cluster'] });
    const members = [cluster.fork(), cluster.fork()];
    const ports = await Promise.all(members.map(async m => (await once(m, 'listening'))[0].port));
    assert.equal(ports[0], ports[1]);
    const who = new Set();
    for (let i = 0; i < 8; i++) who.add(await get(ports[0], '/'));
    cluster.disconnect();
    return who.size;
}

async function watch() {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'watch')), seen = [];
    const watcher = fs.watch(folder, (event, name) => seen.push(event + ' ' + name));
    fs.writeFileSync(folder + '/one', 'x');
    fs.renameSync(folder + '/one', folder + '/two');
    fs.unlinkSync(folder + '/two');
    await new Promise(resolve => setTimeout(resolve, 200));
    watcher.close();
    return seen;
}

async function rest() {
    const packed = zlib.gzipSync(Buffer.alloc(1000000, 'abc'));
    const pbkdf2 = await new Promise(r => crypto.pbkdf2('p', 's', 10000, 32, 'sha256', (_, key) => r(key.toString('hex'))));
    const wasm = new WebAssembly.Module(Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100,
        100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]));
    return [zlib.gunzipSync(packed).length, pbkdf2, new WebAssembly.Instance(wasm).exports.add(40, 2), (await fs.promises.stat('/')).isDirectory()];
}

async function main() {
    for (const job of [serve, workers, children, clustered, watch, rest]) console.log(job.name, JSON.stringify(await job()));
}

if (process.argv[2] === 'child') process.on('message', m => process.send({ twice: 2 * m.n }));
else if (cluster.isWorker) http.createServer((_, answer) => answer.end(String(process.pid))).listen(0, '127.0.0.1');
else main();
