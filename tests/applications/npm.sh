# Node's package manager: packages of this machine are packed, installed with their scripts, and used; no network.
export HOME=/tmp npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false
mkdir -p /tmp/adder /tmp/app && cd /tmp/adder || exit 1
cat >package.json <<'END'
{"name": "adder", "version": "1.2.3", "main": "index.js", "bin": {"adder": "cli.js"}, "scripts": {"postinstall": "node -e \"require('fs').writeFileSync('made', 'x')\""}}
END
echo 'exports.add = (a, b) => a + b' >index.js
printf '#!/usr/bin/env node\nconsole.log(require("./index").add(+process.argv[2], +process.argv[3]))\n' >cli.js
chmod +x cli.js
npm pack --silent
cd /tmp/app && npm init -y >/dev/null && npm install --silent ../adder/adder-1.2.3.tgz >/dev/null
echo "status $?"
npm ls --silent
node_modules/.bin/adder 2 40
node -p 'require("adder").add("a", "b")'
ls node_modules/adder
npm pkg set scripts.test='echo tested && adder 1 2' && npm test --silent
node --version
