// A controller of npm's echonet-lite: it searches, and reads all that it finds by itself.
'use strict';
const EL = require('echonet-lite');
const { tell, listen } = require('./lines.js');

EL.initialize(['05ff01'], (rinfo, els, error) => {
    if (error) return tell({ trouble: String(error) });
    return tell({ from: rinfo.address, seoj: els.SEOJ, esv: els.ESV, details: els.DETAILs });
}, 4, { v4: process.argv[2], v6: '', ignoreMe: true, autoGetProperties: true, autoGetDelay: 20 }).then(() => listen({
    search: () => EL.search(),
    set: (address, eoj, epc, edt) => EL.sendOPC1(address, '05ff01', eoj, EL.SETC, epc, edt),
    found: () => EL.facilities,
}));
