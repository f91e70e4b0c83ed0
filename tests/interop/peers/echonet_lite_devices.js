// A node of npm's echonet-lite with an air conditioner, a light and a battery, built as its README says.
'use strict';
const EL = require('echonet-lite');
const { tell, listen } = require('./lines.js');

const bytes = (text) => Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

// 9D, 9E, 9F: a list of fewer than 16, otherwise a bit for each; echonet-lite leaves that to whoever uses it.
const map = (codes) => {
    const epcs = bytes(codes);
    if (epcs.length < 16) return [epcs.length, ...epcs];
    const bits = new Array(16).fill(0);
    for (const epc of epcs) bits[epc & 15] |= 1 << ((epc >> 4) - 8);
    return [epcs.length, ...bits];
};

const device = (own, { announced, settable, unheard = '' }, values) => {
    const all = {
        '80': '30', '81': '08', '82': '00 00 50 01', '83': `fe 000077 000002 00000000 00000000 00 ${own}`, '88': '42',
        '8a': '000077', ...values,
    };
    const readable = [...Object.keys(all), '9d', '9e', '9f'].join('');
    const edts = Object.fromEntries(Object.entries(all).map(([epc, edt]) => [epc, bytes(edt)]));
    return { ...edts, '9d': map(announced), '9e': map(settable + unheard), '9f': map(readable) };
};

const devices = {
    '013001': device('02', { announced: '80 81 8f a0 b0', settable: '80 81 8f a0 b0 b3', unheard: 'a5 cf' }, {
        '8f': '42', 'a0': '41', 'b0': '42', 'b3': '1b', 'ba': '37', 'bb': '1c', 'be': '7e',
    }),
    // What it is set to it confirms, and forgets: echonet-lite keeps values of air conditioners only.
    '029001': device('03', { announced: '80', settable: '80 b0 b6' }, { 'b0': '32', 'b6': '42' }),
    '027d01': device('04', { announced: '80 c1 cf da', settable: '80 c1 c2 da eb ec' }, {
        'a0': '00001f40', 'a1': '00001f40', 'a8': '0001e240', 'a9': '0001b207', 'c1': '01', 'c2': '02',
        'c8': '00000064 00000bb8', 'c9': '00000064 00000bb8', 'cf': '44', 'd3': '00000000', 'da': '44',
        'e2': '00000fa0', 'e4': '32', 'e6': '04', 'eb': '000003e8', 'ec': '000003e8',
    }),
};

// What whoever uses echonet-lite does about a battery: keep what is set, and announce it before it is confirmed.
const keep = (els) => {
    for (const [epc, edt] of Object.entries(els.DETAILs)) {
        devices[els.DEOJ][epc] = bytes(edt);
        EL.sendOPC1(EL.EL_Multi, els.DEOJ, EL.NODE_PROFILE_OBJECT, EL.INF, epc, edt);
    }
};

EL.initialize(Object.keys(devices), (rinfo, els, error) => {
    if (error) return tell({ trouble: String(error) });
    if (els.DEOJ.startsWith('0ef0')) return undefined; // echonet-lite's own business
    if ([EL.SETI, EL.SETC].includes(els.ESV)) {
        tell({ set: els.DEOJ, to: els.DETAILs });
        if (els.DEOJ === '027d01') keep(els);
        return EL.replySetDetail(rinfo, els, devices);
    }
    return els.ESV === EL.GET ? EL.replyGetDetail(rinfo, els, devices) : undefined;
}, 0, { v4: process.argv[2], v6: '', ignoreMe: true, autoGetProperties: false }).then(() => listen({
    // Somebody uses the remote control.
    by_hand: (eoj, epc, edt) => {
        devices[eoj][epc] = bytes(edt);
        EL.sendOPC1(EL.EL_Multi, eoj, EL.NODE_PROFILE_OBJECT, EL.INF, epc, edt);
    },
    value: (eoj, epc) => Buffer.from(devices[eoj][epc]).toString('hex'),
}));
