// How our tests speak with a program: a JSON object a line, both ways.
'use strict';
const readline = require('readline');

const tell = (line) => process.stdout.write(JSON.stringify(line) + '\n');

// deeds: functions by name; each gets the words that came with it.
const listen = (deeds) => {
    readline.createInterface({ input: process.stdin }).on('line', (text) => {
        const { number, do: what, words } = JSON.parse(text);
        try {
            tell({ number, result: deeds[what](...words) ?? null });
        } catch (error) {
            tell({ number, error: error.stack });
        }
    });
    tell({ ready: true });
};

module.exports = { tell, listen };
