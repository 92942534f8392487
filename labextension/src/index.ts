import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { SkyTorchModel } from './model';
import { SkyTorchPanel } from './panel';
import { ISkyTorchModel } from './tokens';

const DOMAIN = 'jupyter_skytorch';
const SHOW = 'skytorch:show-panel';

const model: JupyterFrontEndPlugin<ISkyTorchModel> = {
  id: 'jupyter-skytorch:model',
  description: 'Provides the Computes, sessions and metrics of all kernels.',
  autoStart: true,
  provides: ISkyTorchModel,
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null): ISkyTorchModel =>
    new SkyTorchModel({
      serverSettings: app.serviceManager.serverSettings,
      trans: (translator ?? nullTranslator).load(DOMAIN)
    })
};

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-skytorch:plugin',
  description: 'Adds the SkyTorch sidebar.',
  autoStart: true,
  requires: [ISkyTorchModel],
  optional: [ITranslator, ILayoutRestorer, ICommandPalette, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    model: ISkyTorchModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    settings: ISettingRegistry | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const { commands, shell } = app;
    const panel = new SkyTorchPanel({
      model,
      open: path => void commands.execute('docmanager:open', { path }),
      trans
    });
    shell.add(panel, 'left', { rank: 600, type: 'SkyTorch' });
    restorer?.add(panel, panel.id);
    commands.addCommand(SHOW, {
      label: trans.__('Show SkyTorch'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => shell.activateById(panel.id)
    });
    palette?.addItem({ command: SHOW, category: trans.__('SkyTorch') });
    void settings?.load(plugin.id).then(loaded => {
      const apply = (): void => {
        model.historySeconds = loaded.composite['historySeconds'] as number;
      };
      loaded.changed.connect(apply);
      apply();
    });
  }
};

export default [model, plugin];
